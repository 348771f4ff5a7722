/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon: boot, signals, reload, drain. The main thread.
 */
#ifndef DTLSD_DAEMON_H
#define DTLSD_DAEMON_H

#include "options.h"

/* Serves until SIGTERM or SIGINT. The exit status of the process: 0, or 1 when it could not start. */
int daemon_run(const struct options *o);

#endif
