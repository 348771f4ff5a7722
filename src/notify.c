/* SPDX-License-Identifier: BSD-2-Clause */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len == 0)
		return;
	if (len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@')) {
		log_warning("NOTIFY_SOCKET=%s is not a usable socket path: the service manager is not told", path);
		return;
	}
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	/* a manager that does not read must not hold up signals */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warning("cannot tell the service manager at %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}
