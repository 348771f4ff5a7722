/* SPDX-License-Identifier: BSD-2-Clause */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "dtlsc_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "(unversioned build)"
#endif

#ifdef HAVE_LIBEDIT
#define LINE_EDITING "+libedit"
#else
#define LINE_EDITING "-libedit"
#endif

#define MTU_MIN 256   /* less does not hold one GnuTLS flight in the 32 datagrams it allows */
#define MTU_MAX 16384 /* GnuTLS takes no more */
#define SECONDS_MAX 86400

enum option_code {
	OPT_FIRST = 256,
	OPT_CAFILE = OPT_FIRST,
	OPT_CERTFILE,
	OPT_KEYFILE,
	OPT_PSKUSERNAME,
	OPT_PSKKEY,
	OPT_SNI,
	OPT_INSECURE,
	OPT_PRIORITY,
	OPT_MTU,
	OPT_TIMEOUT,
	OPT_WAIT,
	OPT_SESSION_FILE,
	OPT_VERSION
};

/* One line per option: getopt's table and the help text both come from here. */
static const struct option_spec {
	int code;
	const char *name;
	const char *argument;
	const char *help;
} specs[] = {
	{OPT_CAFILE, "x509cafile", "FILE",
	 "CA certificates (PEM) to verify the server with; default: the system's"},
	{OPT_CERTFILE, "x509certfile", "FILE", "client certificate chain (PEM)"},
	{OPT_KEYFILE, "x509keyfile", "FILE", "its private key (PEM); default: in the certificate's file"},
	{OPT_PSKUSERNAME, "pskusername", "NAME", "pre-shared key: the identity"},
	{OPT_PSKKEY, "pskkey", "HEX", "pre-shared key: the key in hexadecimal"},
	{OPT_SNI, "sni", "NAME", "name to ask for and to verify; default: HOST"},
	{OPT_INSECURE, "insecure", NULL, "talk even if the server's certificate is not valid"},
	{OPT_PRIORITY, "priority", "STRING", "GnuTLS priority string"},
	{OPT_MTU, "mtu", "BYTES", "largest UDP payload to send; default: 1200"},
	{OPT_TIMEOUT, "timeout", "SECONDS", "for the handshake with each address; default: 10"},
	{OPT_WAIT, "wait", "SECONDS",
	 "after piped input ends, stay until it was silent so long; default: 1"},
	{OPT_SESSION_FILE, "session-file", "FILE", "resume the session in FILE, save this one there"},
	{'4', NULL, NULL, "IPv4 only"},
	{'6', NULL, NULL, "IPv6 only"},
	{'v', "verbose", NULL, "say version, suite, resumed or not, certificate"},
	{'h', "help", NULL, "this text"},
	{OPT_VERSION, "version", NULL, "version and features"},
};

#define SPEC_COUNT (sizeof(specs) / sizeof(specs[0]))

static void print_help(void)
{
	printf("Usage: dtlsc [OPTION]... HOST[:PORT]\n"
	       "Talks lines of text with a DTLS 1.2 server. The default port is " DTLSC_DEFAULT_PORT
	       ".\n\n");
	for (size_t i = 0; i < SPEC_COUNT; i++) {
		const struct option_spec *s = &specs[i];
		char left[40];

		if (s->name == NULL)
			snprintf(left, sizeof(left), "-%c", s->code);
		else
			snprintf(left, sizeof(left), "%s%c%s--%s%s%s", s->code < OPT_FIRST ? "-" : "",
				 s->code < OPT_FIRST ? s->code : ' ', s->code < OPT_FIRST ? ", " : "   ",
				 s->name, s->argument ? " " : "", s->argument ? s->argument : "");
		printf("  %-28s %s\n", left, s->help);
	}
	printf("\nExit status: 0 closed by close_notify, 1 local error, 2 usage, 3 name or network,\n"
	       "4 handshake or protocol, 5 certificate refused, 6 time-out, 7 error alert from the "
	       "server.\n");
}

static void print_version(void)
{
	printf("dtlsc %s\nfeatures: %s gnutls-%s\n", PACKAGE_VERSION, LINE_EDITING,
	       gnutls_check_version(NULL));
}

static int read_seconds(const char *name, const char *text, bool zero_ok, int *ms, char *err,
			size_t err_size)
{
	char *end;
	double seconds;

	errno = 0;
	seconds = strtod(text, &end);
	if (end == text || *end != '\0' || errno != 0 || !isfinite(seconds) || seconds < 0 ||
	    seconds > SECONDS_MAX || (!zero_ok && seconds < 0.001)) {
		snprintf(err, err_size, "--%s '%s': give seconds%s, at most %d, as in 10 or 0.5", name,
			 text, zero_ok ? "" : " above 0", SECONDS_MAX);
		return -EINVAL;
	}
	*ms = (int)(seconds * 1000);
	return 0;
}

static int read_mtu(const char *text, unsigned *mtu, char *err, size_t err_size)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value < MTU_MIN ||
	    value > MTU_MAX) {
		snprintf(err, err_size, "--mtu '%s': give a number of bytes from %d to %d", text, MTU_MIN,
			 MTU_MAX);
		return -EINVAL;
	}
	*mtu = (unsigned)value;
	return 0;
}

int dtlsc_options_take_pskkey(struct dtlsc_options *o, char *text, char *err, size_t err_size)
{
	size_t len = strlen(text);
	size_t digits = strspn(text, "0123456789abcdefABCDEF");

	free(o->pskkey);
	o->pskkey = strdup(text);
	memset(text, 'x', len);
	if (o->pskkey == NULL) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	if (len == 0 || digits != len || len % 2 != 0) {
		snprintf(err, err_size, "--pskkey: %s; give the key in hexadecimal, two digits a byte",
			 len == 0	 ? "it is empty"
			 : digits != len ? "not all are hexadecimal digits"
					 : "the number of digits is odd");
		return -EINVAL;
	}
	return 0;
}

static int read_option(struct dtlsc_options *o, int code, char *arg, char *err, size_t err_size)
{
	switch (code) {
	case OPT_CAFILE: o->cafile = arg; return 0;
	case OPT_CERTFILE: o->certfile = arg; return 0;
	case OPT_KEYFILE: o->keyfile = arg; return 0;
	case OPT_PSKUSERNAME: o->pskusername = arg; return 0;
	case OPT_PSKKEY: return dtlsc_options_take_pskkey(o, arg, err, err_size);
	case OPT_SNI: o->sni = arg; return 0;
	case OPT_INSECURE: o->insecure = true; return 0;
	case OPT_PRIORITY: o->priority = arg; return 0;
	case OPT_MTU: return read_mtu(arg, &o->mtu, err, err_size);
	case OPT_TIMEOUT: return read_seconds("timeout", arg, false, &o->timeout_ms, err, err_size);
	case OPT_WAIT: return read_seconds("wait", arg, true, &o->wait_ms, err, err_size);
	case OPT_SESSION_FILE: o->session_file = arg; return 0;
	case '4': o->family = AF_INET; return 0;
	case '6': o->family = AF_INET6; return 0;
	case 'v': o->verbose = true; return 0;
	}
	snprintf(err, err_size, "option code %d is in the table and not handled", code);
	return -EINVAL;
}

/* "host:port", "host", "[v6]:port", "[v6]". A bare IPv6 address is refused: where would its port begin? */
static int read_target(struct dtlsc_options *o, const char *text, char *err, size_t err_size)
{
	const char *host = text;
	const char *rest;
	size_t len;

	if (text[0] == '[') {
		host = text + 1;
		len = strcspn(host, "]");
		rest = host[len] == ']' ? host + len + 1 : "x";
	} else {
		len = strcspn(text, ":");
		rest = text + len;
		if (strchr(rest, ':') != strrchr(rest, ':')) {
			snprintf(err, err_size, "'%s': write an IPv6 address in brackets, as in [::1]:4433",
				 text);
			return -EINVAL;
		}
	}
	if (len == 0 || len >= sizeof(o->host) || (rest[0] != '\0' && rest[0] != ':')) {
		snprintf(err, err_size, "'%s': give HOST:PORT, as in localhost:4433 or [::1]:4433", text);
		return -EINVAL;
	}
	memcpy(o->host, host, len);
	o->host[len] = '\0';
	if (rest[0] == ':') {
		size_t digits = strspn(rest + 1, "0123456789");

		if (digits == 0 || digits > 5 || rest[1 + digits] != '\0' || atol(rest + 1) < 1 ||
		    atol(rest + 1) > UINT16_MAX) {
			snprintf(err, err_size, "'%s': the port must be a number from 1 to 65535", text);
			return -EINVAL;
		}
		memcpy(o->port, rest + 1, digits + 1);
	}
	return 0;
}

static int check_together(struct dtlsc_options *o, char *err, size_t err_size)
{
	const char *wrong = NULL;

	if (o->keyfile != NULL && o->certfile == NULL)
		wrong = "--x509keyfile without --x509certfile: give both";
	else if (o->pskkey != NULL && o->pskusername == NULL)
		wrong = "--pskkey without --pskusername: give both";
	else if (o->pskusername != NULL && o->pskkey == NULL)
		wrong = "--pskusername without --pskkey: give both";
	else if (o->sni != NULL && o->sni[0] == '\0')
		wrong = "--sni is empty: give a host name";
	if (wrong == NULL)
		return 0;
	snprintf(err, err_size, "%s", wrong);
	return -EINVAL;
}

static void make_getopt_table(struct option table[static SPEC_COUNT + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < SPEC_COUNT; i++) {
		if (specs[i].name == NULL)
			continue;
		table[n++] = (struct option){.name = specs[i].name,
					     .has_arg = specs[i].argument ? required_argument : no_argument,
					     .val = specs[i].code};
	}
	table[n] = (struct option){0};
}

static void describe_getopt_error(int code, const char *word, char *err, size_t err_size)
{
	if (code == ':')
		snprintf(err, err_size, "option '%s' needs an argument: see dtlsc --help", word);
	else if (optopt >= OPT_FIRST)
		snprintf(err, err_size, "option '%s' takes no argument: see dtlsc --help", word);
	else if (optopt != 0)
		snprintf(err, err_size, "option '-%c' is unknown: see dtlsc --help", optopt);
	else
		snprintf(err, err_size, "option '%s' is unknown or ambiguous: see dtlsc --help", word);
}

enum dtlsc_verdict dtlsc_options_read(struct dtlsc_options *o, int argc, char **argv, char *err,
				      size_t err_size)
{
	struct option table[SPEC_COUNT + 1];
	int code;

	*o = (struct dtlsc_options){.port = DTLSC_DEFAULT_PORT,
				    .family = AF_UNSPEC,
				    .mtu = 1200,
				    .timeout_ms = 10000,
				    .wait_ms = 1000};
	make_getopt_table(table);
	opterr = 0;
	optind = 0; /* glibc: begin anew, also within a word that an earlier call gave up */
	while ((code = getopt_long(argc, argv, ":46vh", table, NULL)) != -1) {
		switch (code) {
		case 'h': print_help(); return DTLSC_DONE;
		case OPT_VERSION: print_version(); return DTLSC_DONE;
		case '?':
		case ':': describe_getopt_error(code, argv[optind - 1], err, err_size); return DTLSC_BAD;
		default:
			if (read_option(o, code, optarg, err, err_size) != 0)
				return DTLSC_BAD;
		}
	}
	if (optind == argc) {
		snprintf(err, err_size, "no server named: give HOST:PORT, as in dtlsc localhost:4433");
		return DTLSC_BAD;
	}
	if (optind + 1 < argc) {
		snprintf(err, err_size, "'%s': only one HOST:PORT can be given", argv[optind + 1]);
		return DTLSC_BAD;
	}
	if (read_target(o, argv[optind], err, err_size) != 0 || check_together(o, err, err_size) != 0)
		return DTLSC_BAD;
	return DTLSC_RUN;
}

void dtlsc_options_free(struct dtlsc_options *o)
{
	if (o->pskkey != NULL)
		explicit_bzero(o->pskkey, strlen(o->pskkey));
	free(o->pskkey);
	o->pskkey = NULL;
}
