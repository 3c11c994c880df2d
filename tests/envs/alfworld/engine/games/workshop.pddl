; A world that uses what the engine reads and ALFWorld does not: subtypes, constants, derived
; predicates, universal and conditional effects, disjunctions, negative and universal preconditions.
(define (domain workshop)
 (:requirements :adl :typing :derived-predicates)
 (:types robot thing room - object
         box lamp - thing
         crate - box
         colour)
 (:constants Red_bar_1 Green_bar_1 - colour Hall_bar_1 - room)
 (:predicates
    (in ?r - robot ?p - room)
    (at ?t - thing ?p - room)
    (holding ?r - robot ?t - thing)
    (busy ?r - robot)
    (open ?b - box)
    (inside ?t - thing ?b - box)
    (lit ?l - lamp)
    (hidden ?t - thing)
    (painted ?t - thing ?c - colour)
    (linked ?a - room ?b - room)
    (seen ?t - thing)
    (mixed ?c - colour)
    (bright ?p - room)
    (tidy ?p - room)
 )
 (:derived (bright ?p - room)
    (exists (?l - lamp) (and (at ?l ?p) (lit ?l))))
 (:derived (tidy ?p - room)
    (forall (?b - box) (or (not (at ?b ?p)) (not (open ?b)))))

 (:action walk
    :parameters (?r - robot ?here - room ?there - room)
    :precondition (and (in ?r ?here) (or (linked ?here ?there) (linked ?there ?here)) (not (= ?here ?there)))
    :effect (and (not (in ?r ?here)) (in ?r ?there)
                 (forall (?t - thing) (when (holding ?r ?t) (and (at ?t ?there) (not (at ?t ?here)))))))

 (:action wander
    :parameters (?r - robot ?there - room)
    :precondition (exists (?here - room) (and (in ?r ?here) (or (= ?there Hall_bar_1) (linked ?here ?there))))
    :effect (and (forall (?p - room) (when (and (in ?r ?p) (not (= ?p ?there))) (not (in ?r ?p))))
                 (in ?r ?there)))

 (:action grab
    :parameters (?r - robot ?t - thing ?p - room)
    :precondition (and (in ?r ?p) (at ?t ?p) (not (busy ?r)) (not (hidden ?t))
                       (imply (exists (?b - box) (inside ?t ?b)) (forall (?b - box) (or (not (inside ?t ?b)) (open ?b)))))
    :effect (and (holding ?r ?t) (busy ?r) (forall (?b - box) (not (inside ?t ?b)))))

 (:action drop
    :parameters (?r - robot ?t - thing)
    :precondition (holding ?r ?t)
    :effect (and (not (holding ?r ?t)) (not (busy ?r))))

 (:action stow
    :parameters (?r - robot ?t - thing ?b - box ?p - room)
    :precondition (and (holding ?r ?t) (in ?r ?p) (at ?b ?p) (open ?b) (not (= ?t ?b)))
    :effect (and (inside ?t ?b) (not (holding ?r ?t)) (not (busy ?r))))

 (:action toggle
    :parameters (?r - robot ?b - box ?p - room)
    :precondition (and (in ?r ?p) (at ?b ?p))
    :effect (and (when (open ?b) (not (open ?b)))
                 (when (not (open ?b)) (open ?b))
                 (forall (?t - thing) (when (and (inside ?t ?b) (open ?b)) (hidden ?t)))
                 (forall (?t - thing) (when (and (inside ?t ?b) (not (open ?b))) (not (hidden ?t))))))

 (:action switch
    :parameters (?r - robot ?l - lamp ?p - room)
    :precondition (and (in ?r ?p) (at ?l ?p) (or (lit ?l) (not (lit ?l))))
    :effect (and (when (lit ?l) (not (lit ?l))) (when (not (lit ?l)) (lit ?l)) (seen ?l)))

 (:action paint
    :parameters (?r - robot ?t - thing ?c - colour)
    :precondition (and (holding ?r ?t) (exists (?p - room) (and (in ?r ?p) (bright ?p))))
    :effect (and (painted ?t ?c) (forall (?o - colour) (when (not (= ?o ?c)) (not (painted ?t ?o))))))

 (:action rest
    :parameters (?r - robot ?p - room)
    :precondition (and (in ?r ?p) (tidy ?p) (not (bright ?p)))
    :effect (and (busy ?r) (not (busy ?r)) (seen ?r)))

 (:action look
    :parameters (?r - robot ?p - room)
    :precondition (in ?r ?p)
    :effect (seen ?p))

 (:action inspect
    :parameters (?r - robot ?t - thing)
    :precondition (exists (?p - room) (and (in ?r ?p) (at ?t ?p)))
    :effect (seen ?t))

 (:action stay
    :parameters (?r - robot ?p - room)
    :precondition (in ?r ?p)
    :effect (in ?r ?p))
)
