/* SPDX-License-Identifier: BSD-2-Clause */
#include "sources.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#define ACCEPTED "write addresses of this machine, as: 10.0.0.5,10.0.0.6,[2001:db8::5]"
#define TOO_MANY "more than %d addresses: leave some out"

struct parse {
	struct sources *out;
	char *err;
	size_t err_size;
};

__attribute__((format(printf, 2, 3)))
static int fail(const struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->err_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int add(const struct parse *p, const char *text)
{
	struct sources *s = p->out;
	struct addr found[2];
	char why[200];
	int n;

	text += strspn(text, " \t");
	n = addr_parse(text, 0, found, 2, why, sizeof(why));
	if (n < 0)
		return fail(p, "%s", why);
	if (n > 1 || addr_is_wildcard(&found[0]))
		return fail(p, "\"%.120s\" is more than one address; " ACCEPTED, text);
	if (found[0].port != 0)
		return fail(p, "\"%.120s\" has a port, which the system chooses for each session; leave it out", text);
	for (unsigned i = 0; i < s->count; i++)
		if (addr_equal(&s->addr[i], &found[0]))
			return fail(p, "\"%.120s\" is given twice: leave one of them out", text);
	if (s->count == SOURCES_MOST)
		return fail(p, TOO_MANY, SOURCES_MOST);
	s->addr[s->count++] = found[0];
	return 0;
}

int sources_parse(struct sources *out, const char *text, char *err, size_t err_size)
{
	const struct parse p = { out, err, err_size };
	struct names names;
	int rc = names_parse(&names, text);

	out->count = 0;
	if (rc == -EINVAL)
		rc = fail(&p, "an address is missing; " ACCEPTED);
	else if (rc == -E2BIG)
		rc = fail(&p, TOO_MANY, SOURCES_MOST);
	else if (rc < 0)
		fail(&p, "%s", strerror(-rc));
	for (unsigned i = 0; rc == 0 && i < names.count; i++)
		rc = add(&p, names.name[i]);
	names_free(&names);
	return rc;
}
