/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handlers: the built-in ones. To add one: write handler_NAME.c, declare it here, list it in handlers.c.
 */
#ifndef DTLSD_HANDLERS_H
#define DTLSD_HANDLERS_H

#include "handler.h"

extern const struct handler handler_command;
extern const struct handler handler_echo;
extern const struct handler handler_discard;
extern const struct handler handler_forward;
extern const struct handler handler_connect; /* of services that connect; sessions never have it */
extern const struct handler handler_exec;

#endif
