/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dtlsc_saved: the session that the client keeps between two runs.
 *
 * The session file holds one session, the name it is for and who we were. A file that is missing is no fault;
 * one that cannot be used is noted, and a full handshake follows. It is written anew as a whole,
 * readable by its owner only: it holds the session's secret.
 */
#ifndef DTLSD_DTLSC_SAVED_H
#define DTLSD_DTLSC_SAVED_H

#include <gnutls/gnutls.h>

#include "dtlsc_console.h"
#include "dtlsc_cred.h"
#include "dtlsc_options.h"

void saved_session_load(const struct cred *cred, const struct dtlsc_options *options, gnutls_session_t tls,
			struct console *console);
void saved_session_save(const struct cred *cred, const struct dtlsc_options *options, gnutls_session_t tls,
			struct console *console);

#endif
