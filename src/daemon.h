/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon: boot, signals, reload, drain. The main thread.
 */
#ifndef DTLSD_DAEMON_H
#define DTLSD_DAEMON_H

#include "conf.h"

/*
 * Serves what conf says until SIGTERM or SIGINT, and frees it. It was made from argv, which a reload reads again.
 * The exit status of the process: 0, or 1 when it could not start.
 */
int daemon_run(int argc, char *argv[], struct conf *conf);

#endif
