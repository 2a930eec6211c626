/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.pml - a lock is dead when it was watched for W without a change.
 *
 * H renews its lock under a new name each time.  O, on another machine or the same, sees names
 * only and compares no clocks: it counts its own time since it first saw the name that is there,
 * and deletes exactly that name once it has counted W.  Ticks, think of 3 minutes; the counters
 * saturate, so that time is unbounded.
 *
 *   W, F     what O waits for; until when H may act after the base of its lease, F including G
 *   TTL      H renews at the latest when its lock is so old on a clock that counts its waking
 *            time (only for "polite")
 *   SAME   1 H and O are on one machine and sleep together
 *   SLEEPS   H's machine, or both, may be suspended;  SLEEPO: O's machine may be
 *   COUNT  0 O counts its waking time (CLOCK_MONOTONIC, what is built)
 *          1 O counts suspend as well (CLOCK_BOOTTIME)    2 O trusts a wall clock that may jump
 *   BOOT   0 sightings of another boot are thrown away
 *          1 they are compared, although the clock began anew at any other value
 *   BY     0 a new name starts the count again;  1 only a new holder does
 *   NOW    1 a listing comes immediately before the deletion;  0: O may dawdle in between
 *   PAUSE  1 H runs in a virtual machine that may be paused;  2: whose wall clock is not set right
 *
 * Properties
 *   safe     the lock of one who may still act is never deleted (rules D1, D6)
 *   polite   nor that of one who renews in time, whoever sleeps when
 *   vacuous  O never deletes a lock
 *
 * Assumes names that never come back, and strong listings; with a lag (weak.pml) W must be longer
 * by that.
 */
#ifndef W
#define W 6
#endif
#ifndef F
#define F 5
#endif
#ifndef TTL
#define TTL 2
#endif
#ifndef SAME
#define SAME 0
#endif
#ifndef SLEEPS
#define SLEEPS 1
#endif
#ifndef SLEEPO
#define SLEEPO 1
#endif
#ifndef COUNT
#define COUNT 0
#endif
#ifndef BOOT
#define BOOT 0
#endif
#ifndef BY
#define BY 0
#endif
#ifndef NOW
#define NOW 1
#endif
#ifndef PAUSE
#define PAUSE 0
#endif
#define MAX (W + 2)
#define INC(v) v = (v < MAX -> v + 1 : v)

byte lease;      /* since the base, on H's BOOTTIME or wall clock, whichever is more */
byte waking;     /* since the lock was put, on the clock that stops in suspend */
byte missed;     /* by a virtual machine that was paused */
bool hsleep, osleep, paused, lost;
bool removed;    /* H's current lock was deleted by O */
bool intime = true; /* H has renewed in time so far */
byte count;      /* O's, since it saw the name */
bool sighted;    /* O knows the current name */
bool doomed;     /* O has decided to delete it */
bool jumped;

#define ASLEEP_O (SAME -> hsleep : osleep)
#define RUNS (!hsleep && !paused)

inline tick()
{
	if
	:: paused -> INC(missed)
	:: else ->
		INC(lease);
		if
		:: !hsleep -> INC(waking)
		:: else
		fi
	fi;
	if
	:: sighted && (COUNT || !ASLEEP_O) -> INC(count)
	:: else
	fi
}

inline remove()
{
	removed = true
}

active proctype World()
{
	do
	/* H, awake, does not let its lock grow older than TTL unless it has lost it, or hangs. */
	:: atomic { !(RUNS && waking >= TTL && !lost) -> tick() }
	:: atomic { RUNS && waking >= TTL && !lost && !intime -> tick() }
	/* H renews: a new name, unless the old one is gone. */
	:: atomic {
		RUNS && !lost ->
		if
		:: removed -> lost = true
		:: else ->
			lease = 0;
			waking = 0;
			doomed = false; /* that name is gone: a deletion finds nothing */
			if
			:: BY == 0 ->
				sighted = false;
				count = 0
			:: else
			fi
		fi
	   }
	/* A holder that hangs: it misses its time, and its lock may be taken for dead. */
	:: atomic { RUNS && intime && !lost -> intime = false }
	:: atomic { SLEEPS && RUNS -> hsleep = true }
	:: atomic { hsleep -> hsleep = false }
	:: atomic { SLEEPO && !SAME && !osleep -> osleep = true }
	:: atomic { osleep -> osleep = false }
	:: atomic { PAUSE && RUNS -> paused = true }
	:: atomic {
		paused ->
		paused = false;
		if
		:: PAUSE == 1 -> lease = (lease + missed > MAX -> MAX : lease + missed)
		:: else
		fi;
		missed = 0
	   }
	/* O looks. */
	:: atomic {
		!ASLEEP_O && !removed && !sighted ->
		sighted = true;
		count = 0
	   }
	:: atomic {
		!ASLEEP_O && !removed && sighted && count >= W ->
		if
		:: NOW -> remove()
		:: else -> doomed = true
		fi
	   }
	:: atomic { !NOW && doomed && !ASLEEP_O && !removed -> remove() }
	/* O's machine starts anew. */
	:: atomic {
		sighted && !removed ->
		if
		:: BOOT == 0 -> sighted = false; count = 0
		:: else -> select(count : 0 .. W)
		fi
	   }
	:: atomic { COUNT == 2 && !jumped && sighted -> jumped = true; count = MAX }
	od
}

ltl safe { [] !(removed && !lost && RUNS && lease < F) }
ltl polite { [] !(removed && intime) }
ltl vacuous { [] !removed }
