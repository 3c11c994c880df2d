(define (problem morning)
 (:domain workshop)
 (:objects
    Ann_bar_1 Bob_bar_1 - robot
    Yard_bar_1 Cellar_bar_1 - room
    Lamp_bar_1 Lamp_bar_2 - lamp
    Box_bar_9 - box
    Crate_bar_2 Crate_bar_10 Crate_bar_minus_3_dot_5 - crate
    Blue_bar_1 - colour
    stool - thing)
 (:init
    (in Ann_bar_1 Hall_bar_1) (in Bob_bar_1 Cellar_bar_1)
    (linked Hall_bar_1 Yard_bar_1) (linked Cellar_bar_1 Hall_bar_1)
    (at Lamp_bar_1 Hall_bar_1) (at Lamp_bar_2 Cellar_bar_1) (lit Lamp_bar_2)
    (at Box_bar_9 Hall_bar_1) (at Crate_bar_2 Hall_bar_1) (at Crate_bar_10 Yard_bar_1)
    (at Crate_bar_minus_3_dot_5 Cellar_bar_1) (open Crate_bar_minus_3_dot_5) (open Box_bar_9)
    (at stool Hall_bar_1) (inside stool Box_bar_9) (painted stool Blue_bar_1) (mixed Red_bar_1) (mixed Green_bar_1) (mixed Blue_bar_1))
 (:goal (and
    (exists (?c - crate) (and (painted ?c Red_bar_1) (forall (?r - robot) (not (holding ?r ?c)))))
    (forall (?p - room) (imply (bright ?p) (tidy ?p)))))
)
