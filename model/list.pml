/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list.pml - a listing that is not a snapshot, against a lock that is renewed by replacement.
 *
 * readdir() reads slot after slot while files come and go.  H holds a shared lock and renews it R
 * times: create the new file, then delete the old one.  The name is a hash, so the new file lands
 * in any other slot.  P wants the exclusive lock: list, create, list.
 *
 *   OVERLAP 1  H deletes the old file when no listing is still running that began before the new
 *              file was there: the pause of the refresh is longer than a listing (r4)
 *   LISTS n    P takes "nobody" for an answer only when n listings in a row say so
 *   R          refreshes while P acquires; SLOTS of the folder.  One move towards the
 *              beginning hides the lock from one listing, so SLOTS is to be larger than the
 *              number of listings
 *
 * Properties
 *   excl       P never holds the lock beside H (rule D2, and step 6 of the acquisition)
 *
 * Assumes that one listing shows each file that is there from its beginning to its end, which
 * POSIX promises of readdir().  H does not look for P here, which is worse than what it does.
 */
#ifndef R
#define R 4
#endif
#ifndef OVERLAP
#define OVERLAP 1
#endif
#ifndef LISTS
#define LISTS 1
#endif
#ifndef SLOTS
#define SLOTS 5
#endif

bool slot[SLOTS];
bool started, held, running;
byte number; /* of the listing that runs, or ran last */

active proctype H()
{
	byte i, cur, new, seen;

	atomic {
		select(cur : 0 .. SLOTS - 1);
		slot[cur] = true;
		started = true
	};
	for (i : 1 .. R) {
		atomic {
			select(new : 0 .. SLOTS - 1);
			if
			:: new == cur -> new = (cur + 1) % SLOTS
			:: else
			fi;
			slot[new] = true;
			seen = number
		};
#if OVERLAP
		(!running || number != seen);
#endif
		atomic {
			slot[cur] = false;
			cur = new
		}
	}
}

active proctype P()
{
	byte i, k;
	bool found;

	(started);
	for (k : 1 .. 2 * LISTS) { /* before and after the creation of its own file */
		found = false;
		atomic {
			running = true;
			number++
		};
		for (i : 0 .. SLOTS - 1) {
			found = found || slot[i]
		}
		running = false;
		if
		:: found -> goto end
		:: else
		fi
	}
	held = true;
end:	skip
}

ltl excl { [] !held }
