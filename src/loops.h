/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loops: services that lead back to themselves, over others of the process or at once, as by a mistyped port: what they
 * send would come back to them, and again. Only what the configuration tells is seen: not other processes, and not
 * services with routes, as those of what comes back may lead elsewhere.
 */
#ifndef DTLSD_LOOPS_H
#define DTLSD_LOOPS_H

#include <stdbool.h>

#include "backend.h"
#include "service.h"
#include "subject.h"

/* None of the backends is where the subject's own service listens. false: it is in the log. */
bool loops_elsewhere(const struct subject *u, const char *setting, const struct backends *b);
/* services: made of c's, in its order. false: one of them leads back to itself over others, which is in the log. */
bool loops_none(const struct conf *c, struct service *const *services);

#endif
