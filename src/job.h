/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * job: what a process is to be, in the form in which dtlsd tells its keeper (keeper.h): a struct job_head, and
 * behind it texts that each end with a NUL: the service's name, the working directory, the words of the command, the
 * environment. Both ends are the same program. And what the keeper has to say.
 */
#ifndef DTLSD_JOB_H
#define DTLSD_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "words.h"

#define JOB_MOST (60 * 1024) /* bytes in all */
#define JOB_TEXTS_MOST (2 * WORDS_MOST + 32)
#define JOB_GROUPS 256       /* counts of processes; 0: none */
#define JOB_PROCESSES_MOST 20000

enum job_kind {
	JOB_START, /* with the socket that is its standard input and output */
	JOB_END    /* nothing is behind it: all are to be gone within grace_ms */
};

struct job_head {
	uint32_t kind;
	uint32_t group;      /* which count it is part of */
	uint32_t words, env; /* how many texts of each */
	uint32_t grace_ms;   /* from the end of its input to SIGTERM, and from there to SIGKILL */
	uint32_t uid, gid;   /* where as_user is set */
	uint32_t umask;
	/* limits; 0: none */
	uint32_t memory_mb, cpu_s, files, tasks;
	uint32_t kept;       /* is started again whenever it ends, while dtlsd has the other end of the socket */
	uint32_t as_user;
};

/* The same, to be run. */
struct job {
	struct job_head head;
	const char *service, *directory;
	char *argv[WORDS_MOST + 1], *env[JOB_TEXTS_MOST + 1];
};

/* Points into data, which outlives it. false: it is none. */
bool job_read(struct job *j, char *data, size_t len);

/* How a process has ended, by its wait status, as "has ended with status 1". */
void job_end_text(int status, char *out, size_t size);
/*
 * How long, in ms, until one that ended after ran ms is started again; last: that before, 0: none. From one second
 * doubled up to a minute, and one again after a minute without an end.
 */
uint64_t job_pause(uint64_t last, uint64_t ran);

/* In memory that both processes share; each keeper has its own. */
struct keeper_page {
	atomic_uint live[JOB_GROUPS]; /* processes: dtlsd counts them up, the keeper down when they are gone */
	atomic_int leader[JOB_PROCESSES_MOST]; /* process ID of each that runs, and of its group; 0: free */
	_Atomic uint64_t started, restarted, failed, killed;
	atomic_int level; /* enum log_level: what is not logged need not be said */
};

/* What it says to dtlsd: a line for the log, in one datagram. */
struct keeper_line {
	uint8_t level; /* enum log_level */
	char text[2000];
};

#endif
