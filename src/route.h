/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route: which clients a rule is for, by the name that they asked for, the protocol that was agreed on, and who they
 * are. Pure.
 */
#ifndef DTLSD_ROUTE_H
#define DTLSD_ROUTE_H

#include <stdbool.h>

/*
 * Patterns of the shell (glob(7)); NULL: whatever it is, or nothing. What a client has not got fits no pattern, not
 * even *.
 */
struct route_rule {
	const char *server_name; /* (RFC 6066 3), small or capital letters alike */
	const char *alpn;        /* (RFC 7301) */
	const char *identity;    /* one of its names */
	bool deny;
};

struct route_client {
	const char *server_name; /* "": none */
	const char *alpn;        /* "": none */
	const char *names;       /* each ends with NUL; behind the last there is another one */
	bool names_cut;          /* there are more: who cannot be told apart from the denied is denied */
};

bool route_matches(const struct route_rule *r, const struct route_client *c);
/* The same place in a list would decide the same. */
bool route_same(const struct route_rule *a, const struct route_rule *b);

#endif
