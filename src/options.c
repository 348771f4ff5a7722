/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_TEXT, KIND_NUMBER, KIND_CHOICE, KIND_FLAG, KIND_COUNT, KIND_VERDICT };

struct option_entry {
	const char *name;
	char letter; /* 0: none */
	enum kind kind;
	size_t offset;
	uint32_t preset, least, most;
	const char *argument; /* NULL: none; for KIND_CHOICE the choices, with | between */
	const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct option_entry entries[] = {
	{ "handler", 0, KIND_TEXT, AT(handler), 0, 0, 0, "command|echo|discard", "who answers (command)" },
	{ "x509certfile", 0, KIND_TEXT, AT(x509certfile), 0, 0, 0, "FILE",
	  "certificate chain in PEM, the server's own first" },
	{ "x509keyfile", 0, KIND_TEXT, AT(x509keyfile), 0, 0, 0, "FILE", "its private key in PEM" },
	{ "x509cafile", 0, KIND_TEXT, AT(x509cafile), 0, 0, 0, "FILE", "CAs that client certificates must come from, in PEM" },
	{ "verify-client", 0, KIND_CHOICE, AT(verify_client), 0, 0, 0, "none|optional|required",
	  "whether clients need a certificate (none)" },
	{ "pskpasswd", 0, KIND_TEXT, AT(pskpasswd), 0, 0, 0, "FILE", "pre-shared keys, one identity:hexkey a line, as psktool writes them" },
	{ "priority", 0, KIND_TEXT, AT(priority), 0, 0, 0, "STRING", "GnuTLS priority string (X25519 and AES-GCM first, AEAD only)" },
	{ "workers", 0, KIND_NUMBER, AT(workers), 0, 0, OPTIONS_WORKERS_MAX, "N", "worker threads, 0 for one per processor (0)" },
	{ "idle-timeout", 0, KIND_NUMBER, AT(idle_timeout), 300, 0, 31536000, "SECONDS",
	  "close sessions that say nothing for so long, 0 never (300)" },
	{ "handshake-timeout", 0, KIND_NUMBER, AT(handshake_timeout), 30, 1, 3600, "SECONDS",
	  "give up handshakes that take longer (30)" },
	{ "max-sessions", 0, KIND_NUMBER, AT(max_sessions), 100000, 1, 100000000, "N", "sessions at a time (100000)" },
	{ "max-handshakes", 0, KIND_NUMBER, AT(max_handshakes), 1000, 1, 10000000, "N", "handshakes at a time (1000)" },
	{ "max-sessions-per-address", 0, KIND_NUMBER, AT(max_sessions_per_address), 10000, 0, 100000000, "N",
	  "sessions of one IPv4 address or IPv6 prefix, 0 any number (10000)" },
	{ "max-handshakes-per-address", 0, KIND_NUMBER, AT(max_handshakes_per_address), 100, 0, 10000000, "N",
	  "handshakes of one address at a time, 0 any number (100)" },
	{ "ipv6-prefix", 0, KIND_NUMBER, AT(ipv6_prefix), 64, 1, 128, "BITS", "so much of an IPv6 address counts as one (64)" },
	{ "handshake-steps-per-turn", 0, KIND_NUMBER, AT(handshake_steps_per_turn), 1, 0, 10000, "N",
	  "public-key steps that a worker does before sessions get their turn, 0 any number (1)" },
	{ "handshake-rate", 0, KIND_NUMBER, AT(handshake_rate), 0, 0, 10000000, "N", "handshakes begun a second, 0 any number (0)" },
	{ "mtu", 0, KIND_NUMBER, AT(mtu), 1200, 228, 16384, "BYTES",
	  "largest handshake datagram, without IP and UDP headers (1200)" },
	{ "cookie-lifetime", 0, KIND_NUMBER, AT(cookie_lifetime), 60, 1, 86400, "SECONDS",
	  "how long a cookie is good at the least, twice that at the most (60)" },
	{ "cookie-secret", 0, KIND_TEXT, AT(cookie_secret), 0, 0, 0, "FILE",
	  "keep the cookie secret there, so that cookies survive a restart; made when missing" },
	{ "drain-time", 0, KIND_NUMBER, AT(drain_time), 5, 1, 3600, "SECONDS", "longest time for saying goodbye at the end (5)" },
	{ "hello-lane", 0, KIND_CHOICE, AT(hello_lane), 0, 0, 0, "yes|no",
	  "sockets of their own for hellos, so that a flood of them pushes out no records (yes)" },
	{ "daemon", 0, KIND_FLAG, AT(daemon), 0, 0, 0, NULL, "go into the background once ready; log to syslog" },
	{ "pid-file", 0, KIND_TEXT, AT(pid_file), 0, 0, 0, "FILE", "write the process ID there, remove it at the end" },
	{ "syslog", 0, KIND_FLAG, AT(syslog), 0, 0, 0, NULL, "log to syslog instead of standard error" },
	{ "verbose", 'v', KIND_COUNT, AT(verbose), 0, 0, 0, NULL, "log sessions too; twice: everything" },
	{ "quiet", 'q', KIND_COUNT, AT(quiet), 0, 0, 0, NULL, "log warnings and errors only; twice: errors" },
	{ "help", 'h', KIND_VERDICT, OPTIONS_HELP, 0, 0, 0, NULL, "show this and exit" },
	{ "version", 'V', KIND_VERDICT, OPTIONS_VERSION, 0, 0, 0, NULL, "show version and features and exit" },
};

#define HELP_COLUMN 40
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

static bool parse_number(const struct option_entry *e, const char *text, uint32_t *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || v < e->least || v > e->most)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* The place of text among "a|b|c", -1: not there. */
static int parse_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	for (int i = 0;; i++) {
		size_t n = strcspn(choices, "|");

		if (n == len && memcmp(choices, text, n) == 0)
			return i;
		if (!choices[n])
			return -1;
		choices += n + 1;
	}
}

static enum options_verdict apply(struct options *o, const struct option_entry *e, const char *text, char *err,
				  size_t err_size)
{
	char *field = (char *)o + e->offset;
	int choice;

	switch (e->kind) {
	case KIND_TEXT:
		*(const char **)(void *)field = text;
		break;
	case KIND_NUMBER:
		if (!parse_number(e, text, (uint32_t *)(void *)field)) {
			snprintf(err, err_size, "--%s: '%s' is not a whole number from %u to %u", e->name, text,
				 e->least, e->most);
			return OPTIONS_BAD;
		}
		break;
	case KIND_CHOICE:
		choice = parse_choice(e->argument, text);
		if (choice < 0) {
			snprintf(err, err_size, "--%s: '%s' is none of %s", e->name, text, e->argument);
			return OPTIONS_BAD;
		}
		*(uint32_t *)(void *)field = (uint32_t)choice;
		break;
	case KIND_FLAG:
		*(bool *)field = true;
		break;
	case KIND_COUNT:
		++*(uint32_t *)(void *)field;
		break;
	case KIND_VERDICT:
		return (enum options_verdict)e->offset;
	}
	return OPTIONS_RUN;
}

static enum options_verdict parse_listen(struct options *o, int argc, char *argv[], char *err, size_t err_size)
{
	static const char *const everywhere = "*";

	for (int i = optind; i < argc || (i == optind && argc == optind); i++) {
		const char *text = i < argc ? argv[i] : everywhere;
		char why[200];
		int n = addr_parse(text, OPTIONS_PORT, o->listen + o->listen_count,
				   OPTIONS_LISTEN_MAX - o->listen_count, why, sizeof(why));

		if (n < 0) {
			snprintf(err, err_size, "%s", why);
			return OPTIONS_BAD;
		}
		o->listen_count += (unsigned)n;
		if (o->listen_count == OPTIONS_LISTEN_MAX && i + 1 < argc) {
			snprintf(err, err_size, "more than %d addresses to listen on: start a second dtlsd",
				 OPTIONS_LISTEN_MAX);
			return OPTIONS_BAD;
		}
	}
	for (unsigned i = 0; i < o->listen_count; i++)
		for (unsigned j = 0; j < i; j++)
			if (o->listen[i].port && addr_equal(&o->listen[i], &o->listen[j])) {
				char text[ADDR_TEXT_MAX];

				snprintf(err, err_size, "%s is given twice: leave one of them out",
					 addr_format(&o->listen[i], text));
				return OPTIONS_BAD;
			}
	return OPTIONS_RUN;
}

/* getopt's own tables, made from entries. long_options has ENTRIES + 1, letters 2 * ENTRIES + 2. */
static void make_getopt(struct option *long_options, char *letters)
{
	*letters++ = ':'; /* a missing argument is told from an unknown option */
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct option_entry *e = &entries[i];

		long_options[i] = (struct option){ e->name, e->argument ? required_argument : no_argument, NULL,
						   (int)(256 + i) };
		if (e->letter)
			*letters++ = e->letter;
	}
	*letters = '\0';
	memset(&long_options[ENTRIES], 0, sizeof(long_options[ENTRIES]));
}

static const struct option_entry *find_entry(int c)
{
	if (c >= 256)
		return &entries[c - 256];
	for (size_t i = 0; i < ENTRIES; i++)
		if (entries[i].letter == c)
			return &entries[i];
	return NULL;
}

static void set_defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->handler = "command";
	for (size_t i = 0; i < ENTRIES; i++)
		if (entries[i].kind == KIND_NUMBER)
			*(uint32_t *)(void *)((char *)o + entries[i].offset) = entries[i].preset;
}

enum options_verdict options_parse(struct options *o, int argc, char *argv[], char *err, size_t err_size)
{
	struct option long_options[ENTRIES + 1];
	char letters[2 * ENTRIES + 2];
	enum options_verdict v;
	int c;

	set_defaults(o);
	make_getopt(long_options, letters);
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
		const struct option_entry *e;

		if (c == '?' || c == ':') {
			snprintf(err, err_size, c == ':' ? "%s needs an argument; dtlsd --help shows it" :
				 "unknown, ambiguous or misused option %s; dtlsd --help shows them all",
				 argv[optind - 1]);
			return OPTIONS_BAD;
		}
		e = find_entry(c);
		v = apply(o, e, optarg, err, err_size);
		if (v != OPTIONS_RUN)
			return v;
	}
	return parse_listen(o, argc, argv, err, err_size);
}

void options_help(FILE *to)
{
	fputs("Usage: dtlsd [OPTION]... [ADDRESS:PORT]...\n"
	      "Serves DTLS 1.2 on all addresses given: 127.0.0.1:4433 [::1]:4433 [::]:4433 *:4433\n"
	      "(default *:4433, IPv4 and IPv6). Manual: dtlsd(8).\n\n", to);
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct option_entry *e = &entries[i];
		int n;

		n = e->letter ? fprintf(to, "  -%c, --%s", e->letter, e->name) : fprintf(to, "      --%s", e->name);
		if (e->argument)
			n += fprintf(to, " %s", e->argument);
		if (n >= HELP_COLUMN) {
			fputc('\n', to);
			n = 0;
		}
		fprintf(to, "%*s%s\n", HELP_COLUMN - n, "", e->help);
	}
}
