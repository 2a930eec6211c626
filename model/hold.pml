/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hold.pml - a lock file on a local file system that the kernel vouches for.
 *
 * H holds a kernel lock (an OFD lock) on its lock file for as long as it lives.  Whoever sees the
 * file and asks the kernel knows whether H lives, in any namespace and without a clock.  That
 * works only if the file never is to be seen without the kernel lock: H writes it under a name
 * that nobody lists, locks it, and renames it into place; and when it renews, the new file is in
 * place before the old one goes, and the old one goes before its descriptor is closed.
 *
 *   PUBLISH 0 locked, then renamed into place;  1 the other way round
 *   RENEW   so many renewals
 *   SWAP    0 the new file is locked before the old one is deleted;  1 afterwards
 *   CLOSE   0 the old file is deleted, then closed;  1 the other way round
 *   FAR     1 the prober is on another machine, whose kernel knows nothing of H, and asks anyway
 *   INHERIT 1 the descriptors survive in a child of H that goes on after H's death
 *   PROBERS how many
 *
 * Properties
 *   right    no prober judges H dead while H lives (rules D6, D7)
 *   healed   when H has died, its files go in the end
 *   vacuous  no prober ever judges H dead
 *
 * Assumes one kernel (the same boot id) and a file system of which the kernel knows all users;
 * NFS, CIFS and FUSE are none.  A copy of the repository contains files that nobody holds, and
 * those are dead indeed.
 */
#ifndef PUBLISH
#define PUBLISH 0
#endif
#ifndef RENEW
#define RENEW 2
#endif
#ifndef SWAP
#define SWAP 0
#endif
#ifndef CLOSE
#define CLOSE 0
#endif
#ifndef FAR
#define FAR 0
#endif
#ifndef INHERIT
#define INHERIT 0
#endif
#ifndef PROBERS
#define PROBERS 2
#endif
#define N (RENEW + 1)

bool there[N], locked[N];
bool dead;              /* H: killed, crashed, or done and gone */
bool judged, wrong;

inline publish(i)
{
	if
	:: PUBLISH ->
		there[i] = true;
		locked[i] = true
	:: else ->
		locked[i] = true;
		there[i] = true
	fi
}

/* The kernel's part of a death. */
inline die()
{
	atomic {
		dead = true;
		k = 0;
		do
		:: k < N ->
			locked[k] = locked[k] && INHERIT;
			k++
		:: else -> break
		od
	}
}

active proctype H()
{
	byte cur, k;

	{
		publish(0);
		do
		:: cur < RENEW ->
#if SWAP
			there[cur + 1] = true;
			there[cur] = false;
			locked[cur + 1] = true;
			locked[cur] = false;
#else
			publish(cur + 1);
#if CLOSE
			locked[cur] = false;
			there[cur] = false;
#else
			there[cur] = false;
			locked[cur] = false;
#endif
#endif
			cur++
		:: break
		od;
		there[cur] = false; /* the release */
		die()
	} unless {
		dead
	}
}

/* SIGKILL, between any two steps of H, or never. */
active proctype Fate()
{
	byte k;

	if
	:: die()
	:: skip
	fi
}

active [PROBERS] proctype Prober()
{
	byte i;

	/* Each look is: list, open, ask; a file that vanished meanwhile is no news. */
endless:
	do
	:: for (i : 0 .. N - 1) {
		atomic {
			if
			:: there[i] && (FAR || !locked[i]) ->
				judged = true;
				wrong = wrong || !dead
			:: else -> goto next
			fi
		};
		there[i] = false; /* by exact name, any time later */
next:		skip
	   }
	od
}

ltl right { [] !wrong }
ltl healed { [] (dead -> <> (!there[0] && !there[1] && !there[N - 1])) }
ltl vacuous { [] !judged }
