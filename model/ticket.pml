/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ticket.pml - who goes first: tickets, and shared locks that say "I want to be alone".
 *
 * NX contenders want the exclusive lock, NS the shared one, again and again if ENDLESS.  All have
 * tickets, in this order; a lower number is older, and whoever withdraws keeps his.  RESTIC may
 * come as well, which knows nothing of tickets: list, create, list, withdraw.
 *
 * A contender for the exclusive lock that finds it taken leaves a shared lock file that carries
 * its intent; younger ones then hold back.  When nobody older is in the way: create, list.  Of
 * two who see each other the older leaves its file and looks again, the younger withdraws;
 * against restic, and against somebody who will not go away in time, we withdraw.
 *
 *   TICKETS 0 both withdraw, always (Borg 2, restic)
 *           2 both stay and hold, each taking the other for the one that will withdraw
 *   INTENT  0 a waiting contender leaves no intent (restic)
 *   KEEP    0 who withdraws an exclusive lock leaves no intent before it does
 *   BESIDE  0 no intent is left while an exclusive lock is there
 *   AGAIN   0 the younger does not look again after the creation
 *
 * Properties
 *   excl     never an exclusive holder beside any other (rules D8, D16)
 *   end      no deadlock
 *   alldone  every contender that comes once gets its turn
 *   xdone    with an endless stream of shared holders, the exclusive one gets its turn
 *   vacuous  nobody ever holds the exclusive lock
 *
 * Assumes strong listings; that a bounded pause is longer than another's withdrawal, so that
 * patience runs out only against one who holds; and tickets that all agree on, which hosts whose
 * clocks differ take in another order than they came.  That costs fairness, not safety.  There
 * is no promise of progress against restic: it withdraws and fails, or comes again.
 */
#ifndef NX
#define NX 2
#endif
#ifndef NS
#define NS 1
#endif
#ifndef ENDLESS
#define ENDLESS 0
#endif
#ifndef RESTIC
#define RESTIC 0
#endif
#ifndef TICKETS
#define TICKETS 1
#endif
#ifndef INTENT
#define INTENT 1
#endif
#ifndef KEEP
#define KEEP 1
#endif
#ifndef BESIDE
#define BESIDE 1
#endif
#ifndef AGAIN
#define AGAIN 1
#endif
#define N (NX + NS + RESTIC)

bool x[N], s[N], intent[N]; /* files: an exclusive, a shared lock; the shared one has an intent */
bool held[N], done[N];
byte nholders;
bool xholds, beside;

/* One listing.  Who is in the way: */
#define OLDER_X 1
#define YOUNGER_X 2
#define SHARED 4
#define OLDER_INTENT 8
#define HOLDS 16    /* not to be seen, but found out by waiting: it will not withdraw */

inline look(me, res)
{
	d_step {
		res = 0;
		k = 0;
		do
		:: k < N ->
			if
			:: k != me && x[k] ->
				res = res | (k < me || k >= NX + NS -> OLDER_X : YOUNGER_X)
			:: else
			fi;
			if
			:: k != me && s[k] && !intent[k] -> res = res | SHARED
			:: k != me && s[k] && intent[k] && k < me -> res = res | OLDER_INTENT
			:: else
			fi;
			if
			:: k != me && held[k] -> res = res | HOLDS
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0
	}
}

inline hold(me, exclusively)
{
	atomic {
		held[me] = true;
		nholders++;
		xholds = xholds || exclusively;
		beside = beside || (xholds && nholders > 1)
	}
}

inline release(me)
{
	atomic {
		held[me] = false;
		nholders--;
		xholds = false
	};
	atomic {
		x[me] = false;
		s[me] = false;
		intent[me] = false
	}
}

/*
 * A shared lock file whose owner does nothing under it but wait.  So it may be there beside an
 * exclusive lock, too, unless BESIDE is 0.
 */
inline leave_intent(me)
{
	if
	:: INTENT && !s[me] && (BESIDE || !(res & (OLDER_X | YOUNGER_X))) ->
		atomic {
			s[me] = true;
			intent[me] = true
		};
#if !BESIDE
		look(me, res);
		if
		:: res & (OLDER_X | YOUNGER_X) ->
			atomic {
				s[me] = false;
				intent[me] = false
			}
		:: else
		fi
#endif
	:: else
	fi
}

proctype Exclusive(byte me)
{
	byte res, k;

again:
	look(me, res);
	if
	:: res & (OLDER_X | YOUNGER_X | SHARED | OLDER_INTENT) ->
		leave_intent(me);
		goto again
	:: else
	fi;
	x[me] = true;
	do
	:: look(me, res);
	   if
	   :: (res & (OLDER_X | YOUNGER_X | SHARED | OLDER_INTENT)) == 0 -> break
	   :: TICKETS == 2 && !(res & HOLDS) -> break
	   :: TICKETS != 0 && (res & (OLDER_X | OLDER_INTENT | HOLDS)) == 0 && res
	   :: else ->
#if KEEP
		leave_intent(me);
#endif
		x[me] = false;
		goto again
	   fi
	od;
	hold(me, true);
	release(me);
	done[me] = true
}

proctype Shared(byte me)
{
	byte k, res;

again:
	look(me, res);
	if
	:: res & (OLDER_X | YOUNGER_X | OLDER_INTENT) -> goto again
	:: else
	fi;
	s[me] = true;
	do
	:: look(me, res);
	   if
	   :: !AGAIN || (res & (OLDER_X | YOUNGER_X | OLDER_INTENT)) == 0 -> break
	   :: TICKETS != 0 && (res & (YOUNGER_X | OLDER_X | OLDER_INTENT | HOLDS)) == YOUNGER_X
	   :: else ->
		s[me] = false;
		goto again
	   fi
	od;
	hold(me, false);
	release(me);
	if
	:: ENDLESS -> goto again
	:: else
	fi;
	done[me] = true
}

proctype Restic(byte me)
{
	byte k;
	bool found;

endless:
	do
	:: d_step {
		found = false;
		k = 0;
		do
		:: k < N ->
			found = found || (k != me && (x[k] || s[k]));
			k++
		:: else -> break
		od;
		k = 0
	   };
	   if
	   :: found && x[me] -> x[me] = false
	   :: found && !x[me] -> skip
	   :: !found && x[me] ->
		hold(me, true);
		release(me)
	   :: !found && !x[me] -> x[me] = true
	   fi
	:: !x[me] -> break
	od;
	done[me] = true
}

init {
	byte i;

	atomic {
		for (i : 0 .. N - 1) {
			if
			:: i < NX -> run Exclusive(i)
			:: i >= NX && i < NX + NS -> run Shared(i)
			:: else -> run Restic(i)
			fi
		}
	}
}

ltl excl { [] !beside }
ltl alldone { <> (done[0] && done[1] && done[N - 1]) }
ltl xdone { <> done[0] }
ltl vacuous { [] !xholds }
