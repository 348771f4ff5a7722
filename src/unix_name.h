/* SPDX-License-Identifier: BSD-2-Clause */
/* unix_name: unix sockets as they are written, "/path", or "@name" in the abstract name space, and as the kernel has them. */
#ifndef DTLSD_UNIX_NAME_H
#define DTLSD_UNIX_NAME_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define UNIX_NAME_PREFIX "unix:" /* before it, where an address may be there as well */
#define UNIX_NAME_MOST 107       /* bytes: sun_path has room for a NUL behind them */

/* 0, or -EINVAL with err, which begins with the name. */
int unix_name_check(const char *name, char *err, size_t err_size);
/* name is one that passed. */
socklen_t unix_name_to_sockaddr(const char *name, struct sockaddr_un *un);

#endif
