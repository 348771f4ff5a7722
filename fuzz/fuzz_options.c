/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options: every command line has a verdict, of both programs; one that is refused is explained, one that is
 * taken lies within the bounds of the manual.
 * The input is a choice of the program and its arguments, one a line.
 */
#include <assert.h>
#include <stdlib.h>

#include "dtlsc_options.h"
#include "fuzz.h"
#include "options.h"

#define ARGUMENTS_MAX 100

struct arguments {
	char *text; /* which the others point into */
	int count;
	char *argv[ARGUMENTS_MAX + 1];
};

static void read_arguments(struct arguments *a, const uint8_t *data, size_t size)
{
	static char name[] = "program";
	char *rest;

	memset(a, 0, sizeof(*a));
	rest = a->text = malloc(size + 1);
	assert(rest);
	memcpy(rest, data, size);
	rest[size] = '\0';
	a->argv[a->count++] = name;
	while (size && rest && a->count < ARGUMENTS_MAX)
		a->argv[a->count++] = strsep(&rest, "\n");
}

static bool is_argument(const struct arguments *a, size_t size, const char *text)
{
	return !text || (text >= a->text && text <= a->text + size);
}

static void check_daemon(struct arguments *a, size_t size)
{
	struct options o;
	char err[512] = "";
	enum options_verdict v = options_parse(&o, a->count, a->argv, err, sizeof(err));

	assert(memchr(err, '\0', sizeof(err)));
	if (v != OPTIONS_RUN) {
		assert(v == OPTIONS_HELP || v == OPTIONS_VERSION || (v == OPTIONS_BAD && err[0]));
		return;
	}
	assert(o.listen_count >= 1 && o.listen_count <= OPTIONS_LISTEN_MAX);
	for (unsigned i = 0; i < o.listen_count; i++)
		for (unsigned j = 0; j < i; j++)
			assert(!o.listen[i].port || !addr_equal(&o.listen[i], &o.listen[j]));
	assert(is_argument(a, size, o.x509certfile) && is_argument(a, size, o.x509keyfile));
	assert(is_argument(a, size, o.x509cafile) && is_argument(a, size, o.pskpasswd));
	assert(is_argument(a, size, o.priority) && is_argument(a, size, o.pid_file));
	assert(o.handler && (is_argument(a, size, o.handler) || strcmp(o.handler, "command") == 0));
	assert(o.verify_client <= 2 && o.workers <= OPTIONS_WORKERS_MAX && o.mtu >= 228 && o.mtu <= 16384);
	assert(o.handshake_timeout >= 1 && o.cookie_lifetime >= 1 && o.drain_time >= 1);
	assert(o.max_sessions >= 1 && o.max_handshakes >= 1);
}

static void check_client(struct arguments *a)
{
	struct dtlsc_options o;
	char err[512] = "";
	enum dtlsc_verdict v = dtlsc_options_read(&o, a->count, a->argv, err, sizeof(err));

	assert(memchr(err, '\0', sizeof(err)));
	switch (v) {
	case DTLSC_RUN:
		assert(o.host[0] && memchr(o.host, '\0', sizeof(o.host)));
		assert(o.port[0] && memchr(o.port, '\0', sizeof(o.port)));
		assert(o.timeout_ms > 0 && o.wait_ms >= 0);
		assert(!o.pskkey || strspn(o.pskkey, "0123456789abcdefABCDEF") == strlen(o.pskkey));
		break;
	case DTLSC_BAD:
		assert(err[0]);
		break;
	case DTLSC_DONE:
		break;
	}
	dtlsc_options_free(&o);
}

/* What was read before, to its end or not, does not matter. */
static void check_afresh(bool client)
{
	char name[] = "program", err[512] = "";
	char *argv[4] = { name };
	struct dtlsc_options c;
	struct options o;

	if (client)
		assert(dtlsc_options_read(&c, 1, argv, err, sizeof(err)) == DTLSC_BAD && err[0]);
	else
		assert(options_parse(&o, 1, argv, err, sizeof(err)) == OPTIONS_RUN && o.listen_count == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	bool client = fuzz_u8(&in) & 1;
	struct arguments a;

	if (in.left && memchr(in.at, '\0', in.left))
		return 0;
	read_arguments(&a, in.at, in.left);
	if (client)
		check_client(&a);
	else
		check_daemon(&a, in.left);
	check_afresh(client);
	free(a.text);
	return 0;
}
