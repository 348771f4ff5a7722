/* SPDX-License-Identifier: BSD-2-Clause */
#include "addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hashing and comparing as bytes is only right while nothing is padding. */
static_assert(sizeof(struct addr) == 24, "struct addr has padding");
static_assert(sizeof(struct flow) == 48, "struct flow has padding");

#define ADDR_ACCEPTED "write 192.0.2.1:4433, [2001:db8::1]:4433, *:4433 or name:4433"

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool flow_equal(const struct flow *a, const struct flow *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool ip6_is_linklocal(const uint8_t ip[16])
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

int addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len)
{
	memset(a, 0, sizeof(*a));
	if (len < offsetof(struct sockaddr, sa_data))
		return -EAFNOSUPPORT;
	if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in)); /* sa may be less aligned than the real type */
		memcpy(a->ip, mapped_prefix, sizeof(mapped_prefix));
		memcpy(a->ip + 12, &in.sin_addr, 4);
		a->port = ntohs(in.sin_port);
		a->family = AF_INET;
		return 0;
	}
	if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(a->ip, &in6.sin6_addr, 16);
		/* the kernel may fill in a scope for any address; it tells flows apart only here */
		if (ip6_is_linklocal(a->ip))
			a->scope = in6.sin6_scope_id;
		a->port = ntohs(in6.sin6_port);
		a->family = AF_INET6;
		return 0;
	}
	return -EAFNOSUPPORT;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == AF_INET) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };

		memcpy(&in.sin_addr, a->ip + 12, 4);
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->family == AF_INET6) {
		struct sockaddr_in6 in6 = {
			.sin6_family = AF_INET6,
			.sin6_port = htons(a->port),
			.sin6_scope_id = a->scope,
		};

		memcpy(&in6.sin6_addr, a->ip, 16);
		memcpy(ss, &in6, sizeof(in6));
		return sizeof(in6);
	}
	assert(a->family == 0);
	return 0;
}

const char *addr_format(const struct addr *a, char buf[static ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN];

	if (a->family == AF_INET) {
		inet_ntop(AF_INET, a->ip + 12, ip, sizeof(ip));
		snprintf(buf, ADDR_TEXT_MAX, "%s:%u", ip, a->port);
	} else if (a->family == AF_INET6) {
		inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
		if (a->scope != 0)
			snprintf(buf, ADDR_TEXT_MAX, "[%s%%%u]:%u", ip, a->scope, a->port);
		else
			snprintf(buf, ADDR_TEXT_MAX, "[%s]:%u", ip, a->port);
	} else {
		snprintf(buf, ADDR_TEXT_MAX, "-");
	}
	return buf;
}

bool addr_is_wildcard(const struct addr *a)
{
	static const uint8_t zero[16];

	if (a->family == AF_INET)
		return memcmp(a->ip + 12, zero, 4) == 0;
	return a->family == AF_INET6 && memcmp(a->ip, zero, 16) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (a->family == AF_INET6 && memcmp(a->ip, loopback6, 16) == 0)
		return true;
	/* IPv4, or IPv6 that the kernel routes as IPv4 */
	return a->family != 0 && memcmp(a->ip, mapped_prefix, 12) == 0 && a->ip[12] == 127;
}

struct addr addr_prefix(const struct addr *a, unsigned ipv6_prefix)
{
	struct addr out = { .family = a->family };
	unsigned bits = a->family == AF_INET ? 128 : ipv6_prefix;

	assert(bits <= 128);
	memcpy(out.ip, a->ip, bits / 8);
	if (bits % 8 != 0)
		out.ip[bits / 8] = a->ip[bits / 8] & (uint8_t)(0xff00u >> (bits % 8));
	return out;
}

/* What addr_parse works on: the text, split, and where to say what is wrong with it. */
struct parse {
	const char *text;
	char host[NI_MAXHOST];
	uint16_t port;
	char *err;
	size_t err_size;
};

__attribute__((format(printf, 2, 3)))
static int parse_fail(struct parse *p, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(p->err, p->err_size, "address \"%.120s\": ", p->text);
	if (n >= 0 && (size_t)n < p->err_size) {
		va_start(ap, fmt);
		vsnprintf(p->err + n, p->err_size - (size_t)n, fmt, ap);
		va_end(ap);
	}
	return -EINVAL;
}

static int parse_port(struct parse *p, const char *digits)
{
	size_t len = strlen(digits);
	unsigned long port;

	if (len == 0)
		return parse_fail(p, "no port follows the last colon; " ADDR_ACCEPTED);
	if (strspn(digits, "0123456789") != len)
		return parse_fail(p, "port \"%.40s\" is not a number; " ADDR_ACCEPTED, digits);
	port = len > 5 ? 65536 : strtoul(digits, NULL, 10);
	if (port > 65535)
		return parse_fail(p, "port %.40s is out of range, ports go from 0 to 65535", digits);
	p->port = (uint16_t)port;
	return 0;
}

static int parse_host(struct parse *p, const char *from, size_t len)
{
	if (len >= sizeof(p->host))
		return parse_fail(p, "the name is too long; " ADDR_ACCEPTED);
	memcpy(p->host, from, len);
	p->host[len] = '\0';
	return 0;
}

/* "fe80::1%eth0" and the like, without the brackets. */
static int parse_ipv6(struct parse *p, struct addr *out)
{
	char *zone = strchr(p->host, '%');
	char *end;
	unsigned long scope = 0;

	if (zone != NULL)
		*zone++ = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, p->host, out->ip) != 1)
		return parse_fail(p, "\"%.60s\" is not an IPv6 address, which is what brackets hold; "
				  ADDR_ACCEPTED, p->host);
	if (zone != NULL && !ip6_is_linklocal(out->ip))
		return parse_fail(p, "only link-local addresses (fe80::/10) have a zone");
	if (zone == NULL && ip6_is_linklocal(out->ip))
		return parse_fail(p, "a link-local address needs its zone, as in [fe80::1%%eth0]:4433");
	if (zone != NULL) {
		scope = if_nametoindex(zone);
		if (scope == 0 && zone[0] >= '0' && zone[0] <= '9') {
			errno = 0;
			scope = strtoul(zone, &end, 10);
			if (errno != 0 || *end != '\0' || scope > UINT32_MAX)
				scope = 0;
		}
		if (scope == 0)
			return parse_fail(p, "there is no network interface \"%.40s\"", zone);
	}
	out->scope = (uint32_t)scope;
	out->port = p->port;
	out->family = memcmp(out->ip, mapped_prefix, sizeof(mapped_prefix)) == 0 ? AF_INET : AF_INET6;
	return 1;
}

static int parse_name(struct parse *p, struct addr *out, size_t max)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP };
	struct addrinfo *list, *i;
	struct in_addr in;
	size_t n = 0, j;
	int rc;

	/* the resolver would take "4433" for 0.0.17.81 and "127.1" for 127.0.0.1 */
	if (inet_pton(AF_INET, p->host, &in) != 1 &&
	    (inet_aton(p->host, &in) != 0 || p->host[strspn(p->host, "0123456789.")] == '\0'))
		return parse_fail(p, "\"%.60s\" is not an IPv4 address; " ADDR_ACCEPTED
				  " (a port alone is :4433)", p->host);
	rc = getaddrinfo(p->host, NULL, &hints, &list);
	if (rc != 0)
		return parse_fail(p, "cannot resolve \"%.60s\": %s", p->host,
				  rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (i = list; i != NULL && n < max; i = i->ai_next) {
		if (addr_from_sockaddr(&out[n], i->ai_addr, i->ai_addrlen) != 0)
			continue;
		out[n].port = p->port;
		for (j = 0; j < n && !addr_equal(&out[j], &out[n]); j++)
			;
		if (j == n) /* hosts files like to say things twice */
			n++;
	}
	freeaddrinfo(list);
	if (n == 0)
		return parse_fail(p, "\"%.60s\" has neither an IPv4 nor an IPv6 address", p->host);
	return (int)n;
}

static int parse_any(const struct parse *p, struct addr *out, size_t max)
{
	static const uint16_t families[2] = { AF_INET, AF_INET6 };
	size_t n;

	for (n = 0; n < 2 && n < max; n++) {
		memset(&out[n], 0, sizeof(out[n]));
		if (families[n] == AF_INET)
			memcpy(out[n].ip, mapped_prefix, sizeof(mapped_prefix));
		out[n].family = families[n];
		out[n].port = p->port;
	}
	return (int)n;
}

int addr_parse(const char *text, uint16_t default_port, struct addr *out, size_t max,
	       char *err, size_t err_size)
{
	struct parse p = { .text = text, .port = default_port, .err = err, .err_size = err_size };
	bool bracketed = text[0] == '[';
	const char *end, *colon;

	assert(max > 0);
	if (text[0] == '\0')
		return parse_fail(&p, "it is empty; " ADDR_ACCEPTED);
	if (bracketed) {
		end = strchr(text, ']');
		if (end == NULL)
			return parse_fail(&p, "the closing bracket is missing; " ADDR_ACCEPTED);
		colon = end + 1;
		if (*colon != ':' && *colon != '\0')
			return parse_fail(&p, "\"%.40s\" follows the bracket where :port belongs; "
					  ADDR_ACCEPTED, colon);
		text++;
	} else {
		colon = strchr(text, ':');
		if (colon != NULL && strchr(colon + 1, ':') != NULL)
			return parse_fail(&p, "an IPv6 address needs brackets; " ADDR_ACCEPTED);
		end = colon != NULL ? colon : text + strlen(text);
	}
	if (colon != NULL && *colon == ':' && parse_port(&p, colon + 1) != 0)
		return -EINVAL;
	if (parse_host(&p, text, (size_t)(end - text)) != 0)
		return -EINVAL;
	if (bracketed)
		return parse_ipv6(&p, out);
	if (p.host[0] == '\0' || strcmp(p.host, "*") == 0)
		return parse_any(&p, out, max);
	return parse_name(&p, out, max);
}
