/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * adopt.pml - the keeper of a lock dies in the middle of a refresh, another one takes over.
 *
 * The first keeper renews the lock of a command that runs; it is killed between any two steps.
 * What it knew is in a page that it shared with the front: the current name, the name of the
 * next file from before its PUT on, and whether a listing showed both (r3).  The second keeper
 * lists, decides whether the chain of names is unbroken, renews once more, and only then is the
 * command let go on.  A stranger removes up to KILLS lock files at any time.
 *
 *   RECORD 0 only the current name is in the page
 *          1 what is built: the current name, or the next one if a listing had shown both
 *          2 any file that carries our holder id will do
 *
 * Properties
 *   unbroken  a lock is adopted only if it was there without a gap since the command began (D1)
 *   needless  it is given up only if somebody removed a lock file
 *   tidy      after the adoption there is one lock file of ours (rule D12)
 *   vacuous   no lock is ever adopted
 *
 * Assumes strong listings, and that a PUT of the dead keeper has landed or never will; one that
 * lands later is deleted at the release, because its name is in the page.
 */
#ifndef RECORD
#define RECORD 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define N 4
#define NONE N

bool f[N + 1];
byte files;
bool gap, removed;
byte cur, next = NONE;   /* the page */
bool both;
bool started, dead, adopted, lost, broken, untidy;

inline put(i)
{
	atomic {
		f[i] = true;
		files++
	}
}

inline drop(i)
{
	atomic {
		if
		:: f[i] ->
			f[i] = false;
			files--;
			gap = gap || files == 0
		:: else
		fi
	}
}

inline refresh(new)
{
	if /* r1 */
	:: f[cur]
	:: else -> lost = true; goto end
	fi;
	next = new;
	put(new);
	if /* r3 */
	:: f[cur] && f[new]
	:: else -> lost = true; goto end
	fi;
	both = true;
	drop(cur); /* r5 */
	if /* r6 */
	:: atomic { f[new] -> broken = broken || (adopts && gap) }
	:: else -> lost = true; goto end
	fi;
	atomic { /* one write of a seqlock */
		cur = new;
		next = NONE;
		both = false
	}
}

active proctype First()
{
	bool adopts;

	put(0);
	started = true;
	{
		refresh(1);
		refresh(2)
	} unless {
		dead
	};
end:	skip
}

active proctype Second()
{
	bool adopts;

	atomic {
		!lost && started ->
		dead = true
	};
	adopts = true;
	if
	:: atomic { f[cur] -> skip }
#if RECORD == 1
	:: atomic { !f[cur] && both && f[next] -> cur = next; next = NONE }
	:: atomic { !f[cur] && !(both && f[next]) -> lost = true; goto end }
#elif RECORD == 2
	:: atomic { !f[cur] && f[next] -> cur = next; next = NONE }
	:: atomic { !f[cur] && !f[next] -> lost = true; goto end }
#else
	:: atomic { !f[cur] -> lost = true; goto end }
#endif
	fi;
#if RECORD
	drop(next);
#endif
	both = false;
	refresh(3);
	atomic {
		adopted = true;
		untidy = files > 1
	};
end:	skip
}

active proctype Stranger()
{
	byte i, k;

	do
	:: k < KILLS ->
		select(i : 0 .. N - 1);
		atomic {
			if
			:: f[i] ->
				removed = true;
				drop(i)
			:: else
			fi
		};
		k++
	:: break
	od
}

ltl unbroken { [] !broken }
ltl needless { [] (lost -> removed) }
ltl tidy { [] !untidy }
ltl vacuous { [] !adopted }
