/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.pml - until when a holder may write, against a stranger who removes locks by their age.
 *
 * H renews its lock and sends requests that change the repository.  A stranger whose clock is
 * SKEW ahead removes the lock when the time in it is more than S ago, as restic does.  Time is
 * in ticks; think of 2.5 minutes.  All counters saturate, so that time is unbounded.
 *
 *   F       fence: a request is sent only if it can end within F after the base of the lease
 *   OP      the longest a request may take (T_try, or G for what a child still does)
 *   D       the longest time between the stamp and the acknowledgement of a PUT
 *   BASE  0 the lease runs from before the stamp was taken;  1 from the acknowledgement (restic)
 *   CLOCK 0 the larger of BOOTTIME and the wall clock (what is built)     1 BOOTTIME alone
 *         2 a clock that stops in suspend (restic's, Go's timers)         3 the wall clock alone
 *   SUSPEND, PAUSE   the machine may be suspended; the virtual machine may be paused, which stops
 *           BOOTTIME too, and has its wall clock set right before it goes on
 *   STEP    the wall clock of H may be set back by so much in all (part of SKEW)
 *   GAP   1 H may be stopped between the look at the clock and the sending
 *
 * Properties
 *   fenced    no request of H is under way once a stranger has removed the lock (rule D3)
 *   vacuous   the lock is never removed while H would go on
 *
 * Assumes that a request which has not ended after OP is given up and cannot take effect any
 * more, and that clocks run at the same rate (200 ppm are less than a second in F).
 */
#ifndef S
#define S 12
#endif
#ifndef F
#define F 6
#endif
#ifndef OP
#define OP 1
#endif
#ifndef SKEW
#define SKEW 4
#endif
#ifndef D
#define D 14
#endif
#ifndef BASE
#define BASE 0
#endif
#ifndef CLOCK
#define CLOCK 0
#endif
#ifndef SUSPEND
#define SUSPEND 1
#endif
#ifndef PAUSE
#define PAUSE 0
#endif
#ifndef STEP
#define STEP 0
#endif
#ifndef GAP
#define GAP 0
#endif
#define MAX (S + 2)

#define INC(v) v = (v < MAX -> v + 1 : v)

byte age;         /* of the time in the lock, on a clock that is right */
byte boot, wall;  /* what H's clocks say has passed since the base of its lease */
bool pending;     /* a new lock is being put; its age and base: */
byte page, pboot, pwall;
byte op;          /* a request is under way for so many more ticks */
bool passed;      /* looked at the clock, not sent yet */
bool asleep, paused, removed, lost;
byte steps, missed;

#if CLOCK == 0
#define ELAPSED (boot > wall -> boot : wall)
#elif CLOCK == 3
#define ELAPSED wall
#else
#define ELAPSED boot
#endif
#define AWAKE (!asleep && !paused)
#define MAY (AWAKE && !lost && ELAPSED + OP <= F)

inline tick()
{
	INC(age);
	INC(page);
	if
	:: paused -> missed = (missed < MAX -> missed + 1 : missed)
	:: else ->
		INC(wall);
		INC(pwall);
		if
		:: asleep && CLOCK == 2
		:: else ->
			INC(boot);
			INC(pboot)
		fi
	fi;
	if
	:: op -> op-- /* in the net and on the server, asleep or not */
	:: else
	fi;
	if
	:: !pending ->
		page = 0;
		pboot = 0;
		pwall = 0
	:: else
	fi
}

active proctype World()
{
	do
	:: atomic { !(pending && AWAKE && page >= D && D <= S) -> tick() }
	/* H renews. */
	:: atomic {
		AWAKE && !lost && !pending ->
		if
		:: removed -> lost = true /* r1 */
		:: else -> pending = true
		fi
	   }
	:: atomic {
		AWAKE && pending ->
		pending = false;
		if
		:: removed -> lost = true /* r3, r6 */
		:: else ->
			age = page;
			boot = (BASE -> 0 : pboot);
			wall = (BASE -> 0 : pwall)
		fi;
		page = 0;
		pboot = 0;
		pwall = 0
	   }
	/* H writes. */
	:: atomic {
		MAY && op == 0 && !passed ->
		if
		:: GAP -> passed = true
		:: else -> op = OP + 1 /* the rest of this tick, and OP more */
		fi
	   }
	:: atomic { AWAKE && passed && op == 0 -> passed = false; op = OP + 1 }
	/* Machines sleep; clocks are set. */
	:: atomic { SUSPEND && AWAKE -> asleep = true }
	:: atomic { asleep -> asleep = false }
	:: atomic { PAUSE && AWAKE -> paused = true }
	:: atomic {
		paused ->
		paused = false;
		wall = (wall + missed > MAX -> MAX : wall + missed);
		pwall = (pending -> (pwall + missed > MAX -> MAX : pwall + missed) : 0);
		missed = 0
	   }
	:: atomic {
		steps < STEP && AWAKE ->
		steps++;
		wall = (wall -> wall - 1 : 0);
		pwall = (pwall -> pwall - 1 : 0)
	   }
	/* A stranger. */
	:: atomic { !removed && age + SKEW > S -> removed = true }
	od
}

ltl fenced { [] !(removed && op) }
ltl vacuous { [] !(removed && !lost) }
