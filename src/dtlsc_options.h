/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsc_options: the client's command line, and the exit statuses that it promises in dtlsc(1).
 */
#ifndef DTLSD_DTLSC_OPTIONS_H
#define DTLSD_DTLSC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum dtlsc_exit {
	DTLSC_OK = 0,        /* ended with close_notify, by us or by the server */
	DTLSC_LOCAL = 1,     /* a local file, memory, the output; or a piped line that could not be sent */
	DTLSC_USAGE = 2,     /* the command line */
	DTLSC_NETWORK = 3,   /* name not resolved, address not reachable, port refused */
	DTLSC_HANDSHAKE = 4, /* the handshake failed, or the server broke the protocol */
	DTLSC_VERIFY = 5,    /* the server's certificate was refused */
	DTLSC_TIMEOUT = 6,   /* the handshake was not finished in time */
	DTLSC_ALERT = 7      /* the server ended the session with an error alert */
};

enum dtlsc_verdict {
	DTLSC_RUN,  /* connect */
	DTLSC_DONE, /* --help or --version was answered: exit 0 */
	DTLSC_BAD   /* err says what is wrong: exit DTLSC_USAGE */
};

#define DTLSC_DEFAULT_PORT "4433"
#define DTLSC_HOST_MAX 256

/* The strings borrow from argv but for host, port and pskkey. */
struct dtlsc_options {
	char host[DTLSC_HOST_MAX];
	char port[6];
	int family; /* AF_UNSPEC, AF_INET or AF_INET6 */
	const char *cafile;
	const char *certfile;
	const char *keyfile;
	const char *pskusername;
	char *pskkey; /* hexadecimal, checked */
	const char *sni;
	const char *priority;
	const char *session_file;
	bool insecure;
	bool verbose;
	unsigned mtu;
	int timeout_ms;
	int wait_ms;
};

/*
 * Reads the command line. A --pskkey is copied and overwritten in argv, where every user of the
 * machine can read it.
 */
enum dtlsc_verdict dtlsc_options_read(struct dtlsc_options *options, int argc, char **argv, char *err,
				      size_t err_size);
/* Checks, copies and overwrites a key. 0, or -errno with a sentence in err. */
int dtlsc_options_take_pskkey(struct dtlsc_options *options, char *text, char *err, size_t err_size);
void dtlsc_options_free(struct dtlsc_options *options);

#endif
