/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mode echo --ahead: all records are sealed before the clock starts, and answers are counted by their length, not
 * opened, so that the generator costs less than any server and it is the server that is measured. The first answers,
 * those of --warmup, are opened and compared.
 */
#include "dtlsbench_modes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "record.h"
#include "wire.h"

/* Messages of equal length, of o->run records each; message i is client i % sessions'. */
struct ahead {
	struct run *run;
	const struct bench_options *o;
	uint8_t *memory;
	size_t memory_len, record; /* bytes of one record */
	uint8_t *payload;
	uint64_t messages, sent, got; /* sent and got: records */
};

uint32_t ahead_clients(const struct bench_options *o)
{
	return o->sessions;
}

static void on_heard(void *mode, uint32_t client, const uint8_t *plain, size_t len, uint64_t now)
{
	struct ahead *a = mode;

	(void)client;
	(void)now;
	a->got++;
	a->run->wrong += len != a->o->size || memcmp(plain, a->payload, len) != 0;
}

static void on_raw(void *mode, const struct parcel *p, uint64_t now)
{
	struct ahead *a = mode;

	(void)now;
	if (p->data[0] == DTLS_APPLICATION_DATA && p->len % a->record == 0)
		a->got += p->len / a->record;
	else if (p->data[0] == DTLS_APPLICATION_DATA)
		a->run->wrong++;
}

static int seal_all(struct ahead *a)
{
	size_t room = a->o->size + RECORD_OVERHEAD_MAX, size;
	uint64_t records = a->messages * a->o->run;
	uint8_t *at;

	a->memory_len = records * room;
	a->memory = mmap(NULL, a->memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->memory == MAP_FAILED)
		return -ENOMEM;
	at = a->memory;
	for (uint64_t i = 0; i < records; i++, at += size) {
		uint32_t client = (uint32_t)(i / a->o->run % a->o->sessions);

		size = crowd_seal(a->run->crowd, client, a->payload, a->o->size, at, room);
		if (!size)
			return -ENOMEM;
		a->record = size;
	}
	return 0;
}

static void send_some(struct ahead *a, uint64_t first, unsigned n)
{
	size_t bytes = a->record * a->o->run;

	for (uint64_t i = first; i < first + n; i++)
		crowd_say_borrowed(a->run->crowd, (uint32_t)(i % a->o->sessions), a->memory + i * bytes, bytes,
				   a->o->run > 1 ? (uint16_t)a->record : 0);
	a->sent += (uint64_t)n * a->o->run;
}

/* Sends messages first to first + count - 1 and waits for all answers. The number of records answered. */
static uint64_t stretch(struct ahead *a, uint64_t first, uint64_t count)
{
	uint64_t end = first + count, next = first, before = a->got, lost = 0, alive = clock_mono_ns();
	uint64_t window = a->o->window / a->o->run;
	unsigned burst = run_burst(window);

	a->sent = a->got;
	while (!run_over(a->run) && (next < end || a->got + lost < a->sent)) {
		uint64_t out = (a->sent - a->got - lost + a->o->run - 1) / a->o->run, got = a->got;

		if (next < end && out + burst <= window) {
			unsigned n = end - next < burst ? (unsigned)(end - next) : burst;

			send_some(a, next, n);
			next += n;
		}
		run_turn(a->run, 0);
		if (a->got != got)
			alive = clock_mono_ns();
		else if ((double)(clock_mono_ns() - alive) > a->o->timeout * SECOND_NS) {
			lost = a->sent - a->got;
			alive = clock_mono_ns();
		}
	}
	a->run->unanswered += lost;
	return a->got - before;
}

static int measure(struct ahead *a)
{
	struct run *r = a->run;
	uint64_t warm = (a->o->warmup + a->o->run - 1) / a->o->run, records;
	struct meter m = {0};
	int rc;

	a->messages = warm + (a->o->count + a->o->run - 1) / a->o->run;
	rc = seal_all(a);
	if (rc != 0)
		return rc;
	stretch(a, 0, warm);
	crowd_hear_raw(r->crowd, true, true);
	meter_start(r, &m);
	records = stretch(a, warm, a->messages - warm);
	meter_stop(r, &m);
	crowd_hear_raw(r->crowd, false, false);
	report_add_figure(&r->report, "seconds", "s", meter_seconds(&m));
	run_report_rate(r, &m, "record", records);
	report_add_figure(&r->report, "unanswered_records", "", (double)r->unanswered);
	report_add_figure(&r->report, "wrong_answers", "", (double)r->wrong);
	return 0;
}

int ahead_run(struct run *r)
{
	struct ahead a = { .run = r, .o = r->o, .payload = malloc(r->o->size) };
	uint32_t opened;
	int rc = a.payload ? 0 : -ENOMEM;

	r->mode = &a;
	r->hooks = (struct run_hooks){ .heard = on_heard, .raw = on_raw };
	if (rc == 0) {
		memset(a.payload, 'x', r->o->size);
		opened = run_open(r, 0, r->o->sessions, false);
		report_add_figure(&r->report, "sessions_opened", "", opened);
		if (opened == r->o->sessions && !run_over(r))
			rc = measure(&a);
		run_close(r, 0, r->o->sessions);
		run_report_handshakes(r);
	}
	if (a.memory && a.memory != MAP_FAILED)
		munmap(a.memory, a.memory_len);
	free(a.payload);
	return rc;
}
