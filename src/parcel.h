/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parcel: the header of each datagram between dtlsd and a process that serves all sessions of a service; described
 * for its authors in dtlsd-exec(7). Pure.
 */
#ifndef DTLSD_PARCEL_H
#define DTLSD_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARCEL_VERSION 1
#define PARCEL_HEAD 12

enum parcel_kind {
	PARCEL_OPEN = 'o',  /* to the process: a session is there; behind the header NAME=VALUE texts, each with a NUL */
	PARCEL_DATA = 'd',  /* both ways: one record */
	PARCEL_CLOSE = 'c', /* to the process: it is over; from there: close it */
	PARCEL_ASK = 'a'    /* from the process: send its OPEN again */
};

struct parcel {
	enum parcel_kind kind;
	uint64_t session;
};

void parcel_write(const struct parcel *p, uint8_t out[static PARCEL_HEAD]);
/* false: it is none. */
bool parcel_read(struct parcel *p, const uint8_t *data, size_t len);

#endif
