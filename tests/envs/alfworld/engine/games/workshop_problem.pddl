(define (problem morning)
 (:domain workshop)
 (:objects
    ann bob - robot
    yard cellar - room
    Lamp_bar_1 Lamp_bar_2 - lamp
    Box_bar_9 - box
    Crate_bar_2 Crate_bar_10 Crate_bar_minus_3_dot_5 - crate
    blue - colour
    stool - thing)
 (:init
    (in ann hall) (in bob cellar)
    (linked hall yard) (linked cellar hall)
    (at Lamp_bar_1 hall) (at Lamp_bar_2 cellar) (lit Lamp_bar_2)
    (at Box_bar_9 hall) (at Crate_bar_2 hall) (at Crate_bar_10 yard)
    (at Crate_bar_minus_3_dot_5 cellar) (open Crate_bar_minus_3_dot_5) (open Box_bar_9)
    (at stool hall) (inside stool Box_bar_9) (painted stool blue) (mixed red) (mixed green) (mixed blue))
 (:goal (and
    (exists (?c - crate) (and (painted ?c red) (forall (?r - robot) (not (holding ?r ?c)))))
    (forall (?p - room) (imply (bright ?p) (tidy ?p)))))
)
