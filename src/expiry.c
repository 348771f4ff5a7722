/* SPDX-License-Identifier: BSD-2-Clause */
#include "expiry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

#define DAY_S UINT64_C(86400)

static const unsigned AHEAD_DAYS[] = { 30, 7, 1, 0 };
#define AHEAD (sizeof(AHEAD_DAYS) / sizeof(AHEAD_DAYS[0]))

static const struct {
	const char *verb, *verdict, *advice;
} TEXTS[] = {
	[EXPIRY_CERTIFICATE] = { "expires", "has expired, the other side will refuse it", "renew it" },
	[EXPIRY_CRL] = { "is out of date", "is out of date: what its CA has revoked since is not known",
			 "get the CA's new one" },
	[EXPIRY_OCSP] = { "is out of date", "is out of date and not sent", "get a new one" },
	[EXPIRY_CA] = { "expires", "has expired: certificates that come from it are refused",
			"put its successor there" },
};

int expiry_add(struct expiry *e, const struct expiry_item *item)
{
	struct expiry_item *more = reallocarray(e->items, e->count + 1, sizeof(*more));
	char *file = strdup(item->file);

	if (more)
		e->items = more;
	if (!more || !file) {
		free(file);
		return -ENOMEM;
	}
	more[e->count] = *item;
	more[e->count++].file = file;
	return 0;
}

/* How many of the warnings have fallen due by then. */
static unsigned due(const struct expiry_item *i, uint64_t now)
{
	uint64_t life = i->until > i->from ? i->until - i->from : 0;
	unsigned n = 0;

	for (size_t k = 0; k < AHEAD; k++) {
		uint64_t ahead = AHEAD_DAYS[k] * DAY_S;

		if (2 * ahead <= life && now + ahead > i->until)
			n++;
	}
	return n;
}

static const char *name(const struct expiry_item *i, char *buf, size_t size)
{
	switch (i->kind) {
	case EXPIRY_CERTIFICATE:
		snprintf(buf, size, "certificate %u of the chain", i->place);
		return buf;
	case EXPIRY_CRL:
		snprintf(buf, size, "revocation list %u", i->place);
		return buf;
	case EXPIRY_CA:
		snprintf(buf, size, "CA %u", i->place);
		return buf;
	case EXPIRY_OCSP:
		break;
	}
	return "this OCSP response";
}

static void warn(const struct expiry_item *i, uint64_t now)
{
	const char *advice = TEXTS[i->kind].advice, *what;
	time_t until = (time_t)i->until;
	char buf[64], date[32];
	unsigned days;
	struct tm tm;

	what = name(i, buf, sizeof(buf));
	if (now > i->until) {
		log_warning("%s: %s %s; %s and send SIGHUP", i->file, what, TEXTS[i->kind].verdict, advice);
		return;
	}
	days = (unsigned)((i->until - now + DAY_S - 1) / DAY_S);
	strftime(date, sizeof(date), "%F", gmtime_r(&until, &tm));
	log_warning("%s: %s %s in %u day%s, on %s; %s and send SIGHUP", i->file, what, TEXTS[i->kind].verb, days,
		    days == 1 ? "" : "s", date, advice);
}

void expiry_warn(const struct expiry *e, uint64_t before, uint64_t now)
{
	for (size_t i = 0; i < e->count; i++)
		if (due(&e->items[i], now) > due(&e->items[i], before))
			warn(&e->items[i], now);
}

uint64_t expiry_first(const struct expiry *e)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < e->count; i++)
		if (e->items[i].kind != EXPIRY_CA && e->items[i].until < first)
			first = e->items[i].until;
	return first;
}

void expiry_clear(struct expiry *e)
{
	for (size_t i = 0; i < e->count; i++)
		free((char *)(uintptr_t)e->items[i].file);
	free(e->items);
	*e = (struct expiry){ NULL, 0 };
}
