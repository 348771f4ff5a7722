/* SPDX-License-Identifier: BSD-2-Clause */
#include "unix_name.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int unix_name_check(const char *name, char *err, size_t err_size)
{
	size_t len = strlen(name);

	if (len < 2 || (name[0] != '/' && name[0] != '@'))
		snprintf(err, err_size, "\"" UNIX_NAME_PREFIX "%.120s\": an absolute path belongs there, or @name for an "
			 "abstract address", name);
	else if (len > UNIX_NAME_MOST)
		snprintf(err, err_size, "\"" UNIX_NAME_PREFIX "%.120s\": a socket's path has at most %d bytes", name,
			 UNIX_NAME_MOST);
	else
		return 0;
	return -EINVAL;
}

socklen_t unix_name_to_sockaddr(const char *name, struct sockaddr_un *un)
{
	size_t len = strlen(name);

	static_assert(sizeof(un->sun_path) == UNIX_NAME_MOST + 1, "a name and a NUL");
	assert(len <= UNIX_NAME_MOST);
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, len);
	if (name[0] == '@')
		un->sun_path[0] = '\0'; /* unix(7): abstract, and without a terminator */
	else
		len++;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}
