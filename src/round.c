/* SPDX-License-Identifier: BSD-2-Clause */
#include "round.h"

#include "session.h"
#include "table.h"

static void end_session(struct peers *p, struct session *s, enum session_end why)
{
	session_close(s, why);
	peers_remove_session(p, s);
}

/* ---- after a change ---- */

struct visit {
	struct peers *peers;
	const bool *leaving, *recheck;
};

static void visit_handshake(void *ctx, struct table_node *n)
{
	struct handshake *h = handshake_of_node(n);
	struct visit *v = ctx;

	if (v->leaving[handshake_listener(h)])
		peers_forsake(v->peers, h);
}

static void visit_session(void *ctx, struct table_node *n)
{
	struct session *s = session_of_node(n);
	struct visit *v = ctx;

	if (v->leaving[s->listener])
		end_session(v->peers, s, SESSION_END_DRAIN);
	else if (v->recheck[s->listener] && session_check_grant(s) == TLS_GRANT_VOID)
		end_session(v->peers, s, SESSION_END_REVOKED);
	else
		peers_arm_session(v->peers, s); /* its time-out may be another one now */
}

bool round_run(struct round *r, struct peers *p, const bool *leaving, const bool *recheck)
{
	struct visit v = { p, leaving, recheck };

	/* handshakes first: none of them becomes a session behind the walk over these */
	if (!r->handshakes_done)
		r->handshakes_done = !table_walk(p->handshakes, &r->handshakes, PEERS_A_RUN, visit_handshake, &v);
	else if (!r->sessions_done)
		r->sessions_done = !table_walk(p->sessions, &r->sessions, PEERS_A_RUN, visit_session, &v);
	return !r->sessions_done;
}

/* ---- at the end ---- */

static void forsake(void *ctx, struct table_node *n)
{
	peers_forsake(ctx, handshake_of_node(n));
}

static void goodbye(void *ctx, struct table_node *n)
{
	end_session(ctx, session_of_node(n), SESSION_END_DRAIN);
}

bool round_last(struct round *r, struct peers *p)
{
	uint64_t cursor = 0;

	if (table_count(p->handshakes))
		table_walk(p->handshakes, &cursor, PEERS_A_RUN, forsake, p);
	if (table_count(p->sessions))
		table_walk(p->sessions, &r->sessions, PEERS_A_RUN, goodbye, p);
	return !peers_none(p);
}
