/* SPDX-License-Identifier: BSD-2-Clause */
#include "notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "unix_name.h"

void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to;
	char why[300];
	socklen_t len;
	int fd;

	if (!path || !*path)
		return;
	if (unix_name_check(path, why, sizeof(why)) < 0) {
		log_warning("NOTIFY_SOCKET: %s: the service manager is not told", why);
		return;
	}
	len = unix_name_to_sockaddr(path, &to);
	/* a manager that does not read must not hold up signals */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, len) < 0)
		log_warning("cannot tell the service manager at %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}
