/* SPDX-License-Identifier: BSD-2-Clause */
#include "route.h"

#include <fnmatch.h>
#include <string.h>

/* flags: of fnmatch. "" is no name. */
static bool fits(const char *pattern, const char *name, int flags)
{
	return *name && fnmatch(pattern, name, flags) == 0;
}

static bool fits_one(const char *pattern, const char *names)
{
	for (; *names; names += strlen(names) + 1)
		if (fits(pattern, names, 0))
			return true;
	return false;
}

bool route_matches(const struct route_rule *r, const struct route_client *c)
{
	if (r->server_name && !fits(r->server_name, c->server_name, FNM_CASEFOLD))
		return false;
	if (r->alpn && !fits(r->alpn, c->alpn, 0))
		return false;
	return !r->identity || fits_one(r->identity, c->names) || (r->deny && c->names_cut);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool route_same(const struct route_rule *a, const struct route_rule *b)
{
	return same_text(a->server_name, b->server_name) && same_text(a->alpn, b->alpn) &&
	       same_text(a->identity, b->identity) && a->deny == b->deny;
}
