/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend: a list that is taken can be written and read again and is the same; one that is not is explained. Whatever
 * is told of its backends and whenever, one that refuses gets at most a datagram a second as a trial, one that is
 * heard of is up, and who looks for another one finds one that is up.
 * The input is the list up to its first newline, and then a program of what happens. Names are not asked for.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "backend.h"
#include "fuzz.h"
#include "log.h"

#define START 1000000

enum step { WAIT, CHOOSE, OTHER, SEND, HEARD, REFUSED, STEPS };

/* What can be told of each from outside. */
enum known { UP, REFUSES, UNSURE };

struct model {
	uint64_t now;
	bool silence; /* is held against them, so that none is surely up */
	struct {
		enum known known;
		uint64_t trial_at; /* not before that */
	} of[BACKEND_MOST];
};

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_open(LOG_TO_STDERR, LOG_ERROR_, "fuzz");
	return 0;
}

/* From the list that one would write of it. */
static struct backends *written_again(const struct backends *b, uint64_t silence_ms)
{
	char list[BACKEND_MOST * (BACKEND_TEXT_MAX + 1)] = "", text[BACKEND_TEXT_MAX], err[400];
	struct backends *again;

	for (unsigned i = 0; i < backends_count(b); i++) {
		/* a weight each, as a path may end like one */
		strcat(list, backend_format(backends_addr(b, i), text));
		strcat(list, i + 1 < backends_count(b) ? "*1," : "*1");
	}
	again = backends_parse(list, silence_ms, err, sizeof(err));
	assert(again && backends_count(again) == backends_count(b));
	for (unsigned i = 0; i < backends_count(b); i++)
		assert(memcmp(backends_addr(b, i), backends_addr(again, i), sizeof(struct backend_addr)) == 0);
	return again;
}

/* A datagram may go to i: it is up, or it was not tried for a second. */
static void allowed(struct model *m, unsigned i)
{
	if (m->of[i].known != REFUSES)
		return;
	assert(m->now >= m->of[i].trial_at);
	m->of[i].known = UNSURE; /* it may be up again by having refused nothing */
}

static void choose(struct backends *b, struct model *m)
{
	bool trial, any_up = false;
	unsigned i;

	for (unsigned k = 0; k < backends_count(b); k++)
		any_up |= !m->silence && m->of[k].known == UP;
	i = backends_choose(b, m->now, &trial);
	assert(i < backends_count(b));
	if (trial || any_up)
		allowed(m, i);
}

static void step(struct backends *b, struct model *m, struct fuzz_input *in)
{
	enum step s = fuzz_u8(in) % STEPS;
	unsigned i = fuzz_u8(in) % backends_count(b);
	int other;

	switch (s) {
	case WAIT:
		m->now += fuzz_u16(in);
		break;
	case CHOOSE:
		choose(b, m);
		break;
	case OTHER:
		other = backends_other(b, i, m->now);
		assert(other < (int)backends_count(b) && other != (int)i);
		assert(other < 0 || m->of[other].known != REFUSES);
		break;
	case SEND:
		if (backends_may_send(b, i, m->now)) {
			allowed(m, i);
			backends_sent(b, i, m->now);
		}
		break;
	case HEARD:
		backends_heard(b, i, m->now);
		m->of[i].known = UP;
		assert(backends_may_send(b, i, m->now));
		break;
	default:
		backends_refused(b, i, ECONNREFUSED, m->now);
		m->of[i].known = REFUSES;
		m->of[i].trial_at = m->now + BACKEND_TRIAL_MS;
		assert(!backends_may_send(b, i, m->now));
	}
}

static void check_list(struct backends *b, struct fuzz_input *in, uint64_t silence_ms)
{
	struct backends *again = written_again(b, silence_ms);
	struct model m = { .now = START, .silence = silence_ms > 0 };

	assert(backends_count(b) >= 1 && backends_count(b) <= BACKEND_MOST);
	assert(backends_same(b, b));
	while (in->left > 0)
		step(b, &m, in);
	backends_inherit(again, b);
	for (unsigned i = 0; i < backends_count(b); i++)
		assert(m.of[i].known != REFUSES || m.now >= m.of[i].trial_at || !backends_may_send(again, i, m.now));
	backends_unref(backends_ref(again));
	backends_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint64_t silence_ms = (uint64_t)fuzz_u8(&in) * 100;
	const uint8_t *end = memchr(in.at, '\n', in.left);
	size_t len = end ? (size_t)(end - in.at) : in.left;
	char err[300] = "", *text = strndup((const char *)fuzz_bytes(&in, &len), len);
	struct backends *b;

	assert(text);
	fuzz_u8(&in);
	b = backends_parse(text, silence_ms, err, sizeof(err));
	if (b)
		check_list(b, &in, silence_ms);
	else
		assert(err[0] && memchr(err, '\0', sizeof(err)));
	backends_unref(b);
	free(text);
	return 0;
}
