/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf: the configuration of a process as one struct: its own settings and its services. The command
 * line (options.c) makes one with a single service, dtlsd.conf (conf_file.c) one with any number. Immutable
 * once it was checked; a reload makes a new one.
 */
#ifndef DTLSD_CONF_H
#define DTLSD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "log.h"

#define CONF_PORT 4433
#define CONF_WORKERS_MOST 256
#define CONF_SERVICES_MOST 64
#define CONF_LISTENERS_MOST 64 /* of all services together */
#define CONF_NAME_MOST 64
#define CONF_PLACE_TEXT 300
#define CONF_SETTINGS_MOST 120
#define CONF_ROUTES_MOST 32 /* of one service */

/* Where something was said. */
struct conf_place {
	const char *file; /* NULL: on the command line */
	unsigned line;    /* 0: nowhere, it is a default */
};

struct conf_listener {
	struct addr addr;
	const char *path; /* of a unix datagram socket, "@name" in the abstract name space; NULL: it is UDP */
	struct conf_place place;
};

/* Strings belong to the struct conf. NULL: not given. */

/* Who answers. */
struct conf_answer {
	const char *handler;
	const char *forward;    /* its backends */
	const char *forward_source; /* where their datagrams come from */
	uint32_t forward_proxy; /* enum forward_proxy of forward.h: none, first, every */
	uint32_t forward_move;  /* 0: yes, 1: no */
	uint32_t forward_silence; /* seconds */
	const char *command;    /* words.h */
	uint32_t exec_mode;     /* 0: a process for each session, 1: one for all */
};

struct conf_route {
	const char *name;
	struct conf_place place; /* its beginning */
	const char *sni, *alpn, *identity; /* patterns of route.h */
	bool deny;
	struct conf_answer answer; /* where it does not deny */
	struct conf_place said[CONF_SETTINGS_MOST]; /* by setting */
};

struct conf_service {
	const char *name;
	struct conf_place place; /* its beginning */
	struct conf_listener *listeners;
	unsigned listener_count;
	struct conf_route *routes; /* in the order of the file; what none of them is for has the answer below */
	unsigned route_count;
	struct conf_answer answer;
	const char *x509certfile, *x509keyfile, *x509cafile, *x509crlfile, *ocsp_response, *key_password;
	const char *allowed_names, *allowed_fingerprints; /* of client certificates */
	const char *raw_public_key, *allowed_raw_keys;
	const char *pskpasswd, *psk_socket;
	uint32_t psk_cache;     /* seconds */
	/* of a service that connects: its servers, the name in their certificates, which of the PSKs is its own */
	const char *to, *server_name, *psk_identity;
	uint32_t connect_silence; /* seconds */
	const char *priority;
	const char *alpn;       /* protocols, with commas between */
	uint32_t verify_client; /* enum verify_client of tls.h: none, optional, required */
	uint32_t idle_timeout, handshake_timeout; /* seconds */
	uint32_t mtu;
	/* its share of the process's; 0: no limit of its own */
	uint32_t max_sessions, max_handshakes, handshake_rate;
	/* of its processes, and those of its routes */
	const char *exec_environment, *exec_directory, *exec_umask, *exec_user, *exec_group;
	uint32_t exec_processes, exec_rate, exec_grace;
	uint32_t exec_memory, exec_cpu, exec_files, exec_tasks; /* 0: no limit */
	struct conf_place said[CONF_SETTINGS_MOST]; /* by setting */
};

struct conf {
	const char *file; /* NULL: all is from the command line */
	struct conf_service **services;
	unsigned service_count;
	const char *pid_file;
	const char *cookie_secret; /* NULL: a secret of this process alone */
	uint32_t workers;          /* 0: one for each processor */
	uint32_t drain_time, cookie_lifetime; /* seconds */
	uint32_t max_sessions, max_handshakes, max_sessions_per_address, max_handshakes_per_address;
	uint32_t handshake_rate, handshake_steps_per_turn, ipv6_prefix;
	uint32_t forward_refresh;  /* seconds */
	uint32_t forward_sockets;  /* 0: as many as there may be open files */
	uint32_t log_level;        /* enum log_level: of the file, before verbose and quiet */
	uint32_t verbose, quiet;   /* how often each was given */
	uint32_t hello_lane;       /* 0: yes, 1: no */
	uint32_t watch_files;      /* 0: yes, 1: no */
	bool daemon;
	bool syslog;
	bool check;                /* only look whether all is well */
	struct conf_place said[CONF_SETTINGS_MOST]; /* by setting */
	struct conf_text *texts;
};

struct conf *conf_new(void); /* all zero, without a service; NULL: out of memory */
void conf_free(struct conf *c); /* NULL is fine */

/* A copy that lives as long as c. NULL: out of memory. */
const char *conf_keep(struct conf *c, const char *text);
/* All zero but for these. NULL: out of memory. */
struct conf_service *conf_add_service(struct conf *c, const char *name, struct conf_place place);
/* The same; routes of that service which were there before may move. NULL: out of memory. */
struct conf_route *conf_add_route(struct conf *c, struct conf_service *s, const char *name, struct conf_place place);
/*
 * Adds what addr_parse makes of text, or a unix socket's "unix:/path", for the service. 0, or -errno with err saying
 * what is wrong and what is accepted, without the place.
 */
int conf_add_listener(struct conf *c, struct conf_service *s, const char *text, struct conf_place place, char *err,
		      size_t err_size);

/* The same place to listen on. */
bool conf_same_listener(const struct conf_listener *a, const struct conf_listener *b);
/* The same, or one of them is all addresses of the other's port: the kernel does not give us both. */
bool conf_listeners_clash(const struct conf_listener *a, const struct conf_listener *b);
#define CONF_LISTENER_TEXT 128
/* "127.0.0.1:4433", "unix:/path"; returns buf. */
const char *conf_listener_text(const struct conf_listener *l, char buf[static CONF_LISTENER_TEXT]);
/* Plain datagrams come in there, and leave as a DTLS client's: the handler is connect, or none is named beside to. */
bool conf_connects(const struct conf_service *s);

/* Of the file and the command line together. */
enum log_level conf_log_level(const struct conf *c);

/* "FILE:LINE: ", or "" on the command line; returns buf. */
const char *conf_place_text(const struct conf_place *p, char buf[static CONF_PLACE_TEXT]);
const struct conf_service *conf_find_service(const struct conf *c, const char *name); /* NULL: none */
const struct conf_route *conf_find_route(const struct conf_service *s, const char *name); /* NULL: none */

#endif
