/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * weak.pml - stores whose listings lag behind by up to LAG.
 *
 * A file younger than LAG may be missing from a listing, and one deleted less than LAG ago may
 * still be in it, each time anew.  Time is in ticks; ages saturate, so that it is unbounded.
 * Every process may be slower than its pauses say, never faster.
 *
 *   PART 1  A and B both want the exclusive lock: list, create, pause SETTLE, list
 *        2  A holds a shared lock and renews it R times: create, pause OVERLAP, delete the old
 *           one; B acquires as above
 *        3  A holds a lock, which a stranger may remove.  A commits, pauses CHECK, lists its own
 *           lock and concludes that it was there at the commit (rule D1)
 *
 * Properties
 *   safe      PART 1, 2: never two holders.  PART 3: the conclusion is right.  All three need
 *             pauses of LAG or more, and no less (rule D13)
 *   vacuous   nobody ever holds, or concludes
 *
 * Assumes that LAG is known.  No probe can prove it; that is why an exclusive lock on a store of
 * unknown kind needs the user's word.
 */
#ifndef LAG
#define LAG 3
#endif
#ifndef PART
#define PART 1
#endif
#ifndef SETTLE
#define SETTLE LAG
#endif
#ifndef OVERLAP
#define OVERLAP LAG
#endif
#ifndef CHECK
#define CHECK LAG
#endif
#ifndef R
#define R 3
#endif

#define A 0             /* files: A's is the first, and the next ones that replace it */
#define B (R + 1)
#define NF (R + 2)

bool there[NF];
byte age[NF];           /* since it came or went */
byte timer[2];
bool held[2], started, concluded, was;

/* A listing shows f if it must, and may show or hide it while it is in doubt. */
inline see(f, res)
{
	if
	:: there[f] -> res = true
	:: there[f] && age[f] < LAG -> skip
	:: !there[f] && age[f] < LAG -> res = true
	:: !there[f] -> skip
	fi
}

inline put(f)
{
	atomic {
		there[f] = true;
		age[f] = 0
	}
}

inline drop(f)
{
	atomic {
		there[f] = false;
		age[f] = 0
	}
}

inline pause(me, ticks)
{
	timer[me] = ticks;
	(timer[me] == 0)
}

inline acquire(me, own, from, to)
{
	atomic {
		found = false;
		for (i : from .. to) {
			see(i, found)
		}
	};
	if
	:: found -> goto end
	:: else
	fi;
	put(own);
	pause(me, SETTLE);
	atomic {
		found = false;
		for (i : from .. to) {
			see(i, found)
		}
	};
	if
	:: found -> drop(own)
	:: else -> held[me] = true
	fi
}

active proctype HolderA()
{
	byte i;
	bool found;

	(started);
#if PART == 1
	acquire(0, A, B, B);
#elif PART == 2
	held[0] = true;
	for (i : 1 .. R) {
		put(i);
		pause(0, OVERLAP);
		drop(i - 1)
	}
#else
	was = there[A]; /* the commit */
	pause(0, CHECK);
	atomic {
		see(A, found);
		concluded = found
	};
#endif
end:	skip
}

active proctype OtherB()
{
	byte i;
	bool found;

	(started);
#if PART == 3
	if
	:: drop(A)
	:: skip
	fi;
#elif PART == 2
	acquire(1, B, A, R);
#else
	acquire(1, B, A, A);
#endif
end:	skip
}

active proctype Time()
{
	byte i;

	atomic {
		for (i : 0 .. NF - 1) {
			age[i] = LAG /* all of old */
		}
		there[A] = (PART != 1);
		started = true
	};
endless:
	do
	:: atomic {
		for (i : 0 .. NF - 1) {
			age[i] = (age[i] < LAG -> age[i] + 1 : LAG)
		}
		for (i : 0 .. 1) {
			timer[i] = (timer[i] -> timer[i] - 1 : 0)
		}
		i = 0
	   }
	od
}

#if PART == 3
ltl safe { [] (concluded -> was) }
ltl vacuous { [] !concluded }
#else
ltl safe { [] !(held[0] && held[1]) }
#if PART == 2
ltl vacuous { [] !there[R] }
#else
ltl vacuous { [] !(held[0] || held[1]) }
#endif
#endif
