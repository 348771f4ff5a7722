/* SPDX-License-Identifier: BSD-2-Clause */
/* watched: which files of a configuration are read again when they change. */
#ifndef DTLSD_WATCHED_H
#define DTLSD_WATCHED_H

#include "conf.h"
#include "watch.h"

/* Owners are the services, by index. Not started. NULL: out of memory. */
struct watch *watched_files(const struct conf *c, const struct watch_config *config);

#endif
