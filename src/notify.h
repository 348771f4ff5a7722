/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify: tells the service manager how we are (sd_notify's protocol: one datagram to $NOTIFY_SOCKET).
 */
#ifndef DTLSD_NOTIFY_H
#define DTLSD_NOTIFY_H

/* "READY=1", "STOPPING=1" … with newlines between. No-op without $NOTIFY_SOCKET; a failure is logged. */
void notify_manager(const char *state);

#endif
