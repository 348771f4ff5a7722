/* SPDX-License-Identifier: BSD-2-Clause */
#include "setting.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

#define PROCESS(field) SETTING_OF_PROCESS, offsetof(struct conf, field)
#define SERVICE(field) SETTING_OF_SERVICE, offsetof(struct conf_service, field)
#define ROUTE(field) SETTING_OF_ROUTE, offsetof(struct conf_route, field)
#define LINE SETTING_ON_LINE
#define IN_FILE SETTING_IN_FILE
#define BOTH SETTING_ANYWHERE
#define BESIDE (SETTING_ON_LINE | SETTING_BESIDE_FILE)
#define START SETTING_AT_START
#define WATCHED (SETTING_ANYWHERE | SETTING_WATCHED)

/* name, letter, kind, where, scope and offset, preset, least, most, argument, help */
#define NUMBER(name, where, field, preset, least, most, argument, help) \
	{ name, 0, SETTING_NUMBER, where, field, preset, least, most, argument, help }
#define CHOICE(name, where, field, preset, words, help) \
	{ name, 0, SETTING_CHOICE, where, field, preset, 0, 0, words, help }
#define PATH(name, where, field, help) { name, 0, SETTING_FILE, where, field, 0, 0, 0, "FILE", help }
#define PATHS(name, where, field, help) { name, 0, SETTING_FILES, where, field, 0, 0, 0, "FILE[,FILE]...", help }
#define WORDS(name, where, field, argument, help) { name, 0, SETTING_WORDS, where, field, 0, 0, 0, argument, help }
#define FLAG(name, where, field, help) { name, 0, SETTING_FLAG, where, field, 0, 0, 0, NULL, help }
#define COUNT(name, letter, field, help) { name, letter, SETTING_COUNT, BESIDE, field, 0, 0, 0, NULL, help }
#define VERDICT(name, letter, verdict, help) \
	{ name, letter, SETTING_VERDICT, BESIDE, SETTING_OF_PROCESS, verdict, 0, 0, 0, NULL, help }

const struct setting settings[] = {
	PATH("config", BESIDE, PROCESS(file), "take all settings and any number of services from there: dtlsd.conf(5)"),
	FLAG("check", BESIDE, PROCESS(check), "read and load everything, say whether it is well, and exit"),
	{ "handler", 0, SETTING_TEXT, BOTH, SERVICE(answer.handler), 0, 0, 0, "command|echo|discard|forward|exec|connect",
	  "who answers (command, or with --forward, --command or --to what these are for)" },
	PATHS("x509certfile", WATCHED, SERVICE(x509certfile),
	      "certificate chain in PEM, the server's own first; more for other keys and names"),
	PATHS("x509keyfile", WATCHED, SERVICE(x509keyfile), "its private key in PEM; as many as certificates"),
	PATH("key-password", WATCHED, SERVICE(key_password),
	     "the password of encrypted private keys, or PIN of a token, on its first line"),
	PATHS("ocsp-response", WATCHED, SERVICE(ocsp_response), "OCSP responses about the certificates, to be stapled"),
	PATH("x509cafile", WATCHED, SERVICE(x509cafile), "CAs that client certificates must come from, in PEM"),
	PATHS("x509crlfile", WATCHED, SERVICE(x509crlfile), "revocation lists of these CAs, in PEM"),
	CHOICE("verify-client", BOTH, SERVICE(verify_client), 0, "none|optional|required",
	       "whether clients need a certificate (none)"),
	{ "allowed-names", 0, SETTING_TEXT, BOTH, SERVICE(allowed_names), 0, 0, 0, "PATTERN,...",
	  "only client certificates with such a DNS name, URI or common name" },
	{ "allowed-fingerprints", 0, SETTING_TEXT, BOTH, SERVICE(allowed_fingerprints), 0, 0, 0, "SHA256,...",
	  "only these client certificates; with allowed-names, these too" },
	{ "raw-public-key", 0, SETTING_FILES, WATCHED, SERVICE(raw_public_key), 0, 0, 0, "FILE",
	  "a private key in PEM, whose public key is shown to those who take such (RFC 7250)" },
	PATH("allowed-raw-keys", WATCHED, SERVICE(allowed_raw_keys),
	     "SHA-256 fingerprints of the raw public keys that the other side may show, one a line"),
	PATH("pskpasswd", WATCHED, SERVICE(pskpasswd),
	     "pre-shared keys, one identity:hexkey a line, as psktool writes them"),
	PATH("psk-socket", BOTH, SERVICE(psk_socket), "ask a program there for the keys of other identities"),
	NUMBER("psk-cache", BOTH, SERVICE(psk_cache), 60, 1, 86400, "SECONDS", "how long its answers are good (60)"),
	{ "to", 0, SETTING_TEXT, BOTH, SERVICE(to), 0, 0, 0, "HOST:PORT,...",
	  "be a client: carry plain datagrams to that DTLS server, a session for each peer" },
	{ "server-name", 0, SETTING_TEXT, BOTH, SERVICE(server_name), 0, 0, 0, "NAME",
	  "the name that certificate of --to must have, and is asked for (its host)" },
	{ "psk-identity", 0, SETTING_TEXT, BOTH, SERVICE(psk_identity), 0, 0, 0, "IDENTITY",
	  "which identity of --pskpasswd goes to the server of --to" },
	NUMBER("connect-silence", BOTH, SERVICE(connect_silence), 10, 0, 86400, "SECONDS",
	       "a session of --to is made anew when its server is silent so long, 0 never (10)"),
	{ "priority", 0, SETTING_TEXT, BOTH, SERVICE(priority), 0, 0, 0, "STRING",
	  "GnuTLS priority string (X25519 and AES-GCM first, AEAD only)" },
	{ "alpn", 0, SETTING_TEXT, BOTH, SERVICE(alpn), 0, 0, 0, "NAME[,NAME]...",
	  "application protocols (ALPN) that clients may ask for, the most wanted first" },
	{ "forward", 0, SETTING_TEXT, BOTH, SERVICE(answer.forward), 0, 0, 0, "BACKEND,...",
	  "hand records to HOST:PORT[*WEIGHT] or unix:/PATH, and answers back" },
	{ "forward-source", 0, SETTING_TEXT, BOTH, SERVICE(answer.forward_source), 0, 0, 0, "ADDRESS,...",
	  "addresses of this machine that backends are spoken to from, by turn" },
	CHOICE("forward-proxy", BOTH, SERVICE(answer.forward_proxy), 0, "none|first|every",
	       "tell backends of the client with a PROXY v2 header, in which datagrams (none)"),
	CHOICE("forward-move", BOTH, SERVICE(answer.forward_move), 0, "yes|no",
	       "sessions whose backend is down go to one that is up (yes)"),
	NUMBER("forward-silence", BOTH, SERVICE(answer.forward_silence), 10, 0, 86400, "SECONDS",
	       "a backend is down when silent for so long while others answer, 0 never (10)"),
	NUMBER("forward-refresh", BOTH, PROCESS(forward_refresh), 60, 0, 86400, "SECONDS",
	       "ask for the addresses of named backends so often, 0 only at a reload (60)"),
	NUMBER("forward-sockets", BOTH, PROCESS(forward_sockets), 0, 0, 100000000, "N",
	       "sessions with a backend or process at a time, 0 as open files allow (0)"),
	WORDS("command", BOTH, SERVICE(answer.command), "WORD...",
	      "hand records to this program, and what it says back: its absolute path and arguments"),
	CHOICE("exec-mode", BOTH, SERVICE(answer.exec_mode), 0, "session|service",
	       "a process for each session, or one for all of them (session)"),
	WORDS("exec-environment", BOTH, SERVICE(exec_environment), "NAME[=VALUE]...",
	      "set these for it, or pass on dtlsd's own (PATH)"),
	PATH("exec-directory", BOTH, SERVICE(exec_directory), "run it there (/)"),
	{ "exec-umask", 0, SETTING_TEXT, BOTH, SERVICE(exec_umask), 0, 0, 0, "OCTAL", "with this umask (077)" },
	{ "exec-user", 0, SETTING_TEXT, BOTH, SERVICE(exec_user), 0, 0, 0, "USER", "as this user; for root" },
	{ "exec-group", 0, SETTING_TEXT, BOTH, SERVICE(exec_group), 0, 0, 0, "GROUP", "in this group (the user's); for root" },
	NUMBER("exec-processes", BOTH, SERVICE(exec_processes), 1000, 1, 20000, "N", "processes at a time (1000)"),
	NUMBER("exec-rate", BOTH, SERVICE(exec_rate), 100, 0, 100000, "N",
	       "processes started a second, 0 any number (100)"),
	NUMBER("exec-grace", BOTH, SERVICE(exec_grace), 5, 0, 3600, "SECONDS",
	       "from the end of its input to SIGTERM, and from there to SIGKILL (5)"),
	NUMBER("exec-memory", BOTH, SERVICE(exec_memory), 0, 0, 16777216, "MIB", "address space of one, 0 any (0)"),
	NUMBER("exec-cpu", BOTH, SERVICE(exec_cpu), 0, 0, 100000000, "SECONDS", "CPU time of one, 0 any (0)"),
	NUMBER("exec-files", BOTH, SERVICE(exec_files), 256, 0, 1000000, "N", "open files of one, 0 any (256)"),
	NUMBER("exec-tasks", BOTH, SERVICE(exec_tasks), 0, 0, 1000000, "N",
	       "processes and threads of its user, 0 any (0)"),
	NUMBER("workers", BOTH | START, PROCESS(workers), 0, 0, CONF_WORKERS_MOST, "N",
	       "worker threads, 0 for one per processor (0)"),
	NUMBER("idle-timeout", BOTH, SERVICE(idle_timeout), 300, 0, 31536000, "SECONDS",
	       "close sessions that say nothing for so long, 0 never (300)"),
	NUMBER("handshake-timeout", BOTH, SERVICE(handshake_timeout), 30, 1, 3600, "SECONDS",
	       "give up handshakes that take longer (30)"),
	NUMBER("max-sessions", BOTH, PROCESS(max_sessions), 100000, 1, 100000000, "N", "sessions at a time (100000)"),
	NUMBER("max-handshakes", BOTH, PROCESS(max_handshakes), 1000, 1, 10000000, "N", "handshakes at a time (1000)"),
	NUMBER("max-sessions-per-address", BOTH, PROCESS(max_sessions_per_address), 10000, 0, 100000000, "N",
	       "sessions of one IPv4 address or IPv6 prefix, 0 any number (10000)"),
	NUMBER("max-handshakes-per-address", BOTH, PROCESS(max_handshakes_per_address), 100, 0, 10000000, "N",
	       "handshakes of one address at a time, 0 any number (100)"),
	NUMBER("ipv6-prefix", BOTH | START, PROCESS(ipv6_prefix), 64, 1, 128, "BITS",
	       "so much of an IPv6 address counts as one (64)"),
	NUMBER("handshake-steps-per-turn", BOTH, PROCESS(handshake_steps_per_turn), 1, 0, 10000, "N",
	       "public-key steps of a worker before sessions get their turn, 0 any number (1)"),
	NUMBER("handshake-rate", BOTH, PROCESS(handshake_rate), 0, 0, 10000000, "N",
	       "handshakes begun a second, 0 any number (0)"),
	NUMBER("max-sessions", IN_FILE, SERVICE(max_sessions), 0, 0, 100000000, "N", "its share of them, 0 all (0)"),
	NUMBER("max-handshakes", IN_FILE, SERVICE(max_handshakes), 0, 0, 10000000, "N", "its share of them, 0 all (0)"),
	NUMBER("handshake-rate", IN_FILE, SERVICE(handshake_rate), 0, 0, 10000000, "N",
	       "of this service, 0 any number (0)"),
	NUMBER("mtu", BOTH, SERVICE(mtu), 1200, 228, 16384, "BYTES",
	       "largest handshake datagram, without IP and UDP headers (1200)"),
	NUMBER("cookie-lifetime", BOTH | START, PROCESS(cookie_lifetime), 60, 1, 86400, "SECONDS",
	       "how long a cookie is good at the least, twice that at the most (60)"),
	PATH("cookie-secret", BOTH | START, PROCESS(cookie_secret),
	     "keep the cookie secret there, so that cookies survive a restart; made when missing"),
	NUMBER("drain-time", BOTH, PROCESS(drain_time), 5, 1, 3600, "SECONDS",
	       "longest time for saying goodbye at the end (5)"),
	CHOICE("hello-lane", BOTH | START, PROCESS(hello_lane), 0, "yes|no",
	       "sockets of their own for hellos, so that a flood of them pushes out no records (yes)"),
	CHOICE("watch-files", BOTH, PROCESS(watch_files), 0, "yes|no",
	       "read certificates, keys, CAs, revocation lists and PSKs again when they change (yes)"),
	FLAG("daemon", BESIDE | START, PROCESS(daemon), "go into the background once ready; log to syslog"),
	{ "sni", 0, SETTING_TEXT, IN_FILE, ROUTE(sni), 0, 0, 0, "PATTERN", "for clients that ask for such a name" },
	{ "alpn", 0, SETTING_TEXT, IN_FILE, ROUTE(alpn), 0, 0, 0, "PATTERN", "for clients with such a protocol" },
	{ "identity", 0, SETTING_TEXT, IN_FILE, ROUTE(identity), 0, 0, 0, "PATTERN",
	  "for clients whose certificate or PSK has such a name" },
	FLAG("deny", IN_FILE, ROUTE(deny), "refuse them"),
	{ "handler", 0, SETTING_TEXT, IN_FILE, ROUTE(answer.handler), 0, 0, 0, "command|echo|discard|forward|exec",
	  "who answers them" },
	{ "forward", 0, SETTING_TEXT, IN_FILE, ROUTE(answer.forward), 0, 0, 0, "BACKEND,...", "their backends" },
	{ "forward-source", 0, SETTING_TEXT, IN_FILE, ROUTE(answer.forward_source), 0, 0, 0, "ADDRESS,...",
	  "as of the service" },
	CHOICE("forward-proxy", IN_FILE, ROUTE(answer.forward_proxy), 0, "none|first|every", "as of the service (none)"),
	CHOICE("forward-move", IN_FILE, ROUTE(answer.forward_move), 0, "yes|no", "as of the service (yes)"),
	NUMBER("forward-silence", IN_FILE, ROUTE(answer.forward_silence), 10, 0, 86400, "SECONDS",
	       "as of the service (10)"),
	WORDS("command", IN_FILE, ROUTE(answer.command), "WORD...", "their program; its limits are the service's"),
	CHOICE("exec-mode", IN_FILE, ROUTE(answer.exec_mode), 0, "session|service", "as of the service (session)"),
	PATH("pid-file", BOTH | SETTING_BESIDE_FILE | START, PROCESS(pid_file),
	     "write the process ID there, remove it at the end"),
	FLAG("syslog", BOTH | SETTING_BESIDE_FILE | START, PROCESS(syslog), "log to syslog instead of standard error"),
	CHOICE("log-level", IN_FILE, PROCESS(log_level), 2, "error|warning|notice|info|debug",
	       "what is logged (notice)"),
	COUNT("verbose", 'v', PROCESS(verbose), "log sessions too; twice: everything"),
	COUNT("quiet", 'q', PROCESS(quiet), "log warnings and errors only; twice: errors"),
	VERDICT("help", 'h', SETTING_HELP, "show this and exit"),
	VERDICT("version", 'V', SETTING_VERSION, "show version and features and exit"),
};

const size_t setting_count = sizeof(settings) / sizeof(settings[0]);

static_assert(sizeof(settings) / sizeof(settings[0]) <= CONF_SETTINGS_MOST, "struct conf has a place for each");

const struct setting *setting_find(const char *name, enum setting_scope scope, enum setting_where where)
{
	for (size_t i = 0; i < setting_count; i++)
		if ((settings[i].where & where) && settings[i].scope == scope && strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

/* ---- the fields ---- */

static void *field_of(const struct setting *s, void *base)
{
	return (char *)base + s->offset;
}

static uint32_t number_of(const struct setting *s, const void *base)
{
	return *(const uint32_t *)(const void *)((const char *)base + s->offset);
}

const char *setting_text(const struct setting *s, const void *base)
{
	return *(const char *const *)(const void *)((const char *)base + s->offset);
}

static bool flag_of(const struct setting *s, const void *base)
{
	return *(const bool *)(const void *)((const char *)base + s->offset);
}

void setting_presets(void *base, enum setting_scope scope)
{
	for (size_t i = 0; i < setting_count; i++) {
		const struct setting *s = &settings[i];

		if (s->scope == scope && (s->kind == SETTING_NUMBER || s->kind == SETTING_CHOICE))
			*(uint32_t *)field_of(s, base) = s->preset;
	}
	if (scope == SETTING_OF_SERVICE)
		((struct conf_service *)base)->answer.handler = "command";
}

/* ---- values ---- */

static int apply_number(const struct setting *s, uint32_t *out, const char *text, char *err, size_t err_size)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || v < s->least || v > s->most) {
		snprintf(err, err_size, "'%s' is not a whole number from %u to %u", text, s->least, s->most);
		return -EINVAL;
	}
	*out = (uint32_t)v;
	return 0;
}

/* The place of text among "a|b|c", -1: not there. */
static int find_word(const char *words, const char *text)
{
	size_t len = strlen(text);

	for (int i = 0;; i++) {
		size_t n = strcspn(words, "|");

		if (n == len && memcmp(words, text, n) == 0)
			return i;
		if (!words[n])
			return -1;
		words += n + 1;
	}
}

static int apply_word(const char *words, int *out, const char *text, char *err, size_t err_size)
{
	*out = find_word(words, text);
	if (*out >= 0)
		return 0;
	snprintf(err, err_size, "'%s' is none of %s", text, words);
	return -EINVAL;
}

int setting_apply(const struct setting *s, void *base, const char *text, char *err, size_t err_size)
{
	void *field = field_of(s, base);
	int word = 0, rc = 0;

	switch (s->kind) {
	case SETTING_TEXT:
	case SETTING_FILE:
	case SETTING_FILES:
	case SETTING_WORDS:
		if (!*text) {
			snprintf(err, err_size, "there is nothing in it; give a value or leave it out");
			return -EINVAL;
		}
		*(const char **)field = text;
		break;
	case SETTING_NUMBER:
		rc = apply_number(s, field, text, err, err_size);
		break;
	case SETTING_CHOICE:
		rc = apply_word(s->argument, &word, text, err, err_size);
		if (rc == 0)
			*(uint32_t *)field = (uint32_t)word;
		break;
	case SETTING_FLAG:
		if (text)
			rc = apply_word("yes|no", &word, text, err, err_size);
		if (rc == 0)
			*(bool *)field = word == 0;
		break;
	case SETTING_COUNT:
		++*(uint32_t *)field;
		break;
	case SETTING_VERDICT:
		break;
	}
	return rc;
}

static void format_word(const char *words, uint32_t n, char *out, size_t size)
{
	while (n-- > 0)
		words += strcspn(words, "|") + 1;
	snprintf(out, size, "%.*s", (int)strcspn(words, "|"), words);
}

void setting_format(const struct setting *s, const void *base, char *out, size_t size)
{
	const char *text;

	switch (s->kind) {
	case SETTING_TEXT:
	case SETTING_FILE:
	case SETTING_FILES:
	case SETTING_WORDS:
		text = setting_text(s, base);
		snprintf(out, size, "%s", text ? text : "none");
		return;
	case SETTING_CHOICE:
		format_word(s->argument, number_of(s, base), out, size);
		return;
	case SETTING_FLAG:
		snprintf(out, size, "%s", flag_of(s, base) ? "yes" : "no");
		return;
	case SETTING_NUMBER:
	case SETTING_COUNT:
		snprintf(out, size, "%u", number_of(s, base));
		return;
	case SETTING_VERDICT:
		break;
	}
	*out = '\0';
}

bool setting_equal(const struct setting *s, const void *a, const void *b)
{
	const char *x, *y;

	switch (s->kind) {
	case SETTING_TEXT:
	case SETTING_FILE:
	case SETTING_FILES:
	case SETTING_WORDS:
		x = setting_text(s, a);
		y = setting_text(s, b);
		return x == y || (x && y && strcmp(x, y) == 0);
	case SETTING_NUMBER:
	case SETTING_CHOICE:
	case SETTING_COUNT:
		return number_of(s, a) == number_of(s, b);
	case SETTING_FLAG:
		return flag_of(s, a) == flag_of(s, b);
	case SETTING_VERDICT:
		break;
	}
	return true;
}
