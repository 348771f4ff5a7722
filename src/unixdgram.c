/* SPDX-License-Identifier: BSD-2-Clause */
#include "unixdgram.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "unix_name.h"

#define NAME_AT offsetof(struct sockaddr_un, sun_path)
#define SEND_BUFFER (4 * 1024 * 1024) /* as far as the kernel allows */
#define UNHEARD_MOST (16 * 1024)
#define OVERHEAD 768                  /* what an empty datagram takes */

/* A socket in the file system whose program is gone. */
static bool is_left_over(int fd, const struct sockaddr_un *un, socklen_t len)
{
	struct stat st;

	if (!un->sun_path[0] || stat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	return connect(fd, (const struct sockaddr *)un, len) != 0 && errno == ECONNREFUSED;
}

static int bind_name(int fd, const struct sockaddr_un *un, socklen_t len)
{
	if (bind(fd, (const struct sockaddr *)un, len) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_left_over(fd, un, len))
		return -EADDRINUSE;
	if (unlink(un->sun_path) != 0 || bind(fd, (const struct sockaddr *)un, len) != 0)
		return -errno;
	return 0;
}

static const char *advice_on(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return "another program has it, or it is no socket: stop that program, or choose another path";
	case -ENOENT:
		return "its directory does not exist: make it";
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return "not permitted: dtlsd's user must be able to write into its directory";
	default:
		return strerror(-err);
	}
}

int unixdgram_open(const char *path, char *err, size_t err_size)
{
	struct sockaddr_un un;
	socklen_t len = unix_name_to_sockaddr(path, &un);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), bytes = SEND_BUFFER;
	int rc = fd < 0 ? -errno : bind_name(fd, &un, len);

	if (rc == 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		return fd;
	}
	snprintf(err, err_size, "cannot listen on unix:%s: %s", path, advice_on(rc));
	if (fd >= 0)
		close(fd);
	return rc;
}

void unixdgram_close(int fd, const char *path)
{
	close(fd);
	if (path[0] != '@')
		(void)unlink(path);
}

unsigned unixdgram_recv(int fd, uint8_t *buffer, size_t size, unsigned most, struct metrics *m,
			void (*each)(void *ctx, const char *name, size_t name_len, const uint8_t *data, size_t len),
			void *ctx)
{
	unsigned n = 0;

	for (; n < most; n++) {
		struct sockaddr_un un;
		socklen_t len = sizeof(un);
		ssize_t got = recvfrom(fd, buffer, size, MSG_DONTWAIT, (struct sockaddr *)&un, &len);

		if (got < 0)
			break;
		if (len > sizeof(un)) /* unix(7), BUGS: of a name that has no room for its terminator */
			len = sizeof(un);
		metric_inc(m, METRIC_rx_datagrams);
		if (len > NAME_AT) {
			each(ctx, un.sun_path, len - NAME_AT, buffer, (size_t)got);
			continue;
		}
		metric_inc(m, METRIC_connect_dropped);
		log_limited(LOG_WARNING_, NULL, "a local program sends from a unix socket without a name, and could not "
			    "be answered: dropped; have it bind its socket");
	}
	return n;
}

/* Of a peer that has connected its socket to ours the kernel lets as much wait as there is room for all. */
static bool is_crowded(int fd)
{
	int waiting, most;
	socklen_t len = sizeof(most);

	return ioctl(fd, SIOCOUTQ, &waiting) == 0 && getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, &len) == 0 &&
	       waiting > most / 2;
}

void unixdgram_send(int fd, struct metrics *m, const char *name, size_t name_len, uint32_t *unheard, const void *data,
		    size_t len)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t un_len = (socklen_t)(NAME_AT + name_len);
	bool is_full = *unheard > UNHEARD_MOST;

	memcpy(un.sun_path, name, name_len);
	if ((is_full && is_crowded(fd)) ||
	    sendto(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&un, un_len) < 0)
		metric_inc(m, METRIC_connect_lost);
	else if (!is_full)
		*unheard += (uint32_t)len + OVERHEAD;
}
