/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * subject: what is being made of a configuration, for those who make a part of it and have to say what is wrong with it.
 */
#ifndef DTLSD_SUBJECT_H
#define DTLSD_SUBJECT_H

#include "conf.h"

struct crew;

/* A service, one of its routes, or the process. */
struct subject {
	const struct conf *conf;
	const struct conf_service *service; /* NULL: the process */
	const struct conf_route *route; /* NULL: the service itself */
	struct crew *crew;              /* of the service */
};

const struct conf_answer *subject_answer(const struct subject *u);
/* How its settings are written in messages: what goes before their names. */
const char *subject_dashes(const struct subject *u);
/* Logs it with its place: that of the setting whose name, or file, it begins with; else where all of it begins. */
void subject_complain(const struct subject *u, const char *what);

#endif
