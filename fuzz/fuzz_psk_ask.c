/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * psk_ask: pre-shared keys of a program, over a real unix socket. Whatever it answers, repeats, delays or makes up, whenever it
 * goes and comes, and whoever asks, waits and leaves: a key is one that the program gave for that very identity, nobody is
 * called unknown whom it did not call so, and who waits is told or may leave.
 * The input is what happens.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"
#include "psk_ask.h"

#define WAITERS 6
#define STEPS_MOST 400 /* of a program: each is a system call or two */

enum step { ASK, LEAVE, FLUSH, HEAR, ANSWER_KEY, ANSWER_NO, ANSWER_RAW, RUN, WAIT, GO_AWAY, COME_BACK, CLEAN, STEPS };

static const size_t length[] = { 1, 2, 31, PSK_IDENTITY_MAX }; /* of the identities */
#define IDENTITIES (sizeof(length) / sizeof(length[0]))

static struct world {
	struct upstream *u;
	struct metrics metrics;
	struct upstream_limit limit;
	struct psk_asks *asks;
	struct psk_source source;
	uint64_t now;
	int program; /* -1: it is away */
	struct sockaddr_storage client;
	socklen_t client_len;
	struct place waiter[WAITERS];
	uint8_t keys[IDENTITIES]; /* that were given for each */
	bool no[IDENTITIES];
	bool raw;                 /* something was made up, which may be an answer as well */
} w;

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_open(LOG_TO_STDERR, LOG_ERROR_, "fuzz");
	return 0;
}

static size_t identity(unsigned i, uint8_t out[static PSK_IDENTITY_MAX])
{
	memset(out, 'a' + (int)i, length[i]);
	return length[i];
}

static void ask(unsigned i, struct place *waiter)
{
	uint8_t text[PSK_IDENTITY_MAX];
	struct psk_key key;

	switch (psk_ask(w.asks, &w.source, text, identity(i, text), waiter, &key)) {
	case PSK_ANSWER_KEY:
		assert(place_alone(waiter) && key.len > 0 && key.len <= PSK_KEY_MAX);
		assert(w.raw || (key.len == 2 && key.data[0] == i && key.data[1] < w.keys[i]));
		break;
	case PSK_ANSWER_UNKNOWN:
		assert(place_alone(waiter) && (w.no[i] || w.raw));
		break;
	case PSK_ANSWER_WAIT:
		assert(!place_alone(waiter));
		break;
	case PSK_ANSWER_DOWN:
		assert(place_alone(waiter));
		break;
	default:
		assert(!"one of these");
	}
}

static void hear(void)
{
	char text[2 * PSK_IDENTITY_MAX + 32], want[2 * PSK_IDENTITY_MAX + 32];
	uint8_t of[PSK_IDENTITY_MAX];
	socklen_t len = sizeof(w.client);
	ssize_t n = w.program < 0 ? -1 : recvfrom(w.program, text, sizeof(text) - 1, MSG_DONTWAIT, (struct sockaddr *)&w.client, &len);
	bool found = false;

	if (n < 0)
		return;
	w.client_len = len;
	text[n] = '\0';
	for (unsigned i = 0; i < IDENTITIES; i++) {
		size_t size = identity(i, of), at = (size_t)sprintf(want, "get ");

		for (size_t k = 0; k < size; k++)
			at += (size_t)sprintf(want + at, "%02x", of[k]);
		found |= strcmp(want, text) == 0;
	}
	assert(found);
}

static void say(const void *data, size_t len)
{
	if (w.program >= 0 && w.client_len > 0)
		(void)sendto(w.program, data, len, MSG_DONTWAIT, (struct sockaddr *)&w.client, w.client_len);
}

static void answer(unsigned i, bool key, bool newline)
{
	char text[2 * PSK_IDENTITY_MAX + 32];
	uint8_t of[PSK_IDENTITY_MAX];
	size_t size = identity(i, of), at = (size_t)sprintf(text, key ? "key " : "no ");

	if (key && w.keys[i] == UINT8_MAX)
		return;
	for (size_t k = 0; k < size; k++)
		at += (size_t)sprintf(text + at, "%02X", of[k]);
	if (key)
		at += (size_t)sprintf(text + at, " %02x%02x", i, w.keys[i]++);
	else
		w.no[i] = true;
	if (newline)
		text[at++] = '\n';
	say(text, at);
}

static void answer_raw(struct fuzz_input *in)
{
	size_t len = fuzz_u16(in) % 1024;
	const uint8_t *data = fuzz_bytes(in, &len);

	w.raw = true;
	say(data, len);
}

static void come_back(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(w.source.at.path);

	if (w.program >= 0)
		return;
	memcpy(un.sun_path + 1, w.source.at.path + 1, len - 1);
	w.program = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert(w.program >= 0);
	assert(bind(w.program, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0);
}

static void go_away(void)
{
	if (w.program >= 0)
		close(w.program);
	w.program = -1;
	w.client_len = 0;
}

static void take_news(void)
{
	struct place *at;

	while ((at = psk_asks_news(w.asks)))
		assert(at >= w.waiter && at < w.waiter + WAITERS && place_alone(at));
}

static void step(struct fuzz_input *in)
{
	enum step s = fuzz_u8(in) % STEPS;
	uint8_t of = fuzz_u8(in);

	switch (s) {
	case ASK:
		ask(of % IDENTITIES, &w.waiter[of / IDENTITIES % WAITERS]);
		break;
	case LEAVE:
		place_leave(&w.waiter[of % WAITERS]);
		break;
	case FLUSH:
		upstream_flush(w.u);
		break;
	case HEAR:
		hear();
		break;
	case ANSWER_KEY:
	case ANSWER_NO:
		answer(of % IDENTITIES, s == ANSWER_KEY, of & 0x80);
		break;
	case ANSWER_RAW:
		answer_raw(in);
		break;
	case RUN:
		upstream_run(w.u);
		take_news();
		break;
	case WAIT:
		w.now += (uint64_t)of * of;
		break;
	case GO_AWAY:
		go_away();
		break;
	case COME_BACK:
		come_back();
		break;
	default:
		psk_asks_clean(w.asks);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	char path[64];

	memset(&w, 0, sizeof(w));
	w.now = 1000000;
	w.limit.most = 10;
	w.program = -1;
	w.u = upstream_new(&w.limit);
	assert(w.u);
	upstream_count(w.u, &w.metrics);
	w.asks = psk_asks_new(w.u, &w.metrics, &w.now);
	assert(w.asks);
	snprintf(path, sizeof(path), "@dtlsd-fuzz-%d", (int)getpid());
	psk_source_init(&w.source, path, fuzz_u16(&in));
	for (int i = 0; i < WAITERS; i++)
		place_init(&w.waiter[i]);
	come_back();
	for (unsigned n = 0; in.left > 0 && n < STEPS_MOST; n++)
		step(&in);
	for (int i = 0; i < WAITERS; i++)
		place_leave(&w.waiter[i]);
	psk_asks_free(w.asks);
	upstream_free(w.u);
	go_away();
	return 0;
}
