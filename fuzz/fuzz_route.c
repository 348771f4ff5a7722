/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route: patterns of stars, question marks and ordinary characters decide as a matcher does that tries everything in
 * bounded time; a rule is for a client if all of its patterns are, and a client with nothing fits none. Whatever else
 * stands in a pattern, it takes no longer than the fuzzer has patience.
 * The input is the lines of the rule (server name, protocol, identity) and those of the client, who may have many
 * names.
 */
#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fuzz.h"
#include "route.h"

#define TEXT_MOST 600 /* more than a name of a client can have */

enum text { SERVER_NAME_PATTERN, ALPN_PATTERN, NAME_PATTERN, SERVER_NAME, ALPN, NAME, TEXTS };

/* Up to the next newline; "" at the end. names: blanks are what divides them. The caller frees. */
static char *line(struct fuzz_input *in, bool names)
{
	const uint8_t *end = memchr(in->at, '\n', in->left);
	size_t len = end ? (size_t)(end - in->at) : in->left, most = len < TEXT_MOST ? len : TEXT_MOST;
	char *text = calloc(1, most + 2);

	assert(text);
	memcpy(text, in->at, most);
	for (size_t i = 0; names && i < most; i++)
		if (text[i] == ' ')
			text[i] = '\0';
	fuzz_bytes(in, &len);
	fuzz_u8(in);
	return text;
}

/* The glob that goes back to its last star only. */
static bool glob_fits(const char *pattern, const char *text, bool fold)
{
	const char *star = NULL, *tried = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			tried = text;
		} else if (*pattern == '?' || *pattern == *text ||
			   (fold && tolower((unsigned char)*pattern) == tolower((unsigned char)*text))) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++tried;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

/* pattern is NULL or one that glob_fits knows. */
static bool wanted(const char *pattern, const char *text, bool fold)
{
	return !pattern || (*text && glob_fits(pattern, text, fold));
}

static bool one_wanted(const char *pattern, const char *names)
{
	bool found = !pattern;

	for (; *names; names += strlen(names) + 1)
		found |= wanted(pattern, names, false);
	return found;
}

static bool is_simple(const char *pattern)
{
	return !pattern || !strpbrk(pattern, "[\\");
}

static void check(const struct route_rule *r, const struct route_client *c)
{
	bool all = wanted(r->server_name, c->server_name, true) && wanted(r->alpn, c->alpn, false);
	bool found = one_wanted(r->identity, c->names), matches = route_matches(r, c);

	if (!is_simple(r->server_name) || !is_simple(r->alpn) || !is_simple(r->identity))
		return;
	assert(matches == (all && (found || (r->deny && c->names_cut))));
}

static void check_nobody(const struct route_rule *r)
{
	const struct route_client nobody = { .server_name = "", .alpn = "", .names = "" };

	assert(route_matches(r, &nobody) == (!r->server_name && !r->alpn && !r->identity));
	assert(route_same(r, r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t how = fuzz_u8(&in);
	char *text[TEXTS];

	for (int i = 0; i < TEXTS; i++)
		text[i] = line(&in, i == NAME);
	const struct route_rule r = {
		.server_name = how & 1 ? text[SERVER_NAME_PATTERN] : NULL,
		.alpn = how & 2 ? text[ALPN_PATTERN] : NULL,
		.identity = how & 4 ? text[NAME_PATTERN] : NULL,
		.deny = how & 8,
	};
	const struct route_client c = {
		.server_name = text[SERVER_NAME], .alpn = text[ALPN], .names = text[NAME], .names_cut = how & 16,
	};

	check(&r, &c);
	check_nobody(&r);
	for (int i = 0; i < TEXTS; i++)
		free(text[i]);
	return 0;
}
