/* SPDX-License-Identifier: BSD-2-Clause */
/* A resolver that knows numbers and localhost and asks nobody. */
#include <netdb.h>
#include <string.h>

/* linked with --wrap=getaddrinfo */
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		       struct addrinfo **res);
int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		       struct addrinfo **res);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		       struct addrinfo **res)
{
	struct addrinfo numeric = *hints;

	numeric.ai_flags |= AI_NUMERICHOST;
	return __real_getaddrinfo(strcmp(node, "localhost") == 0 ? "127.0.0.1" : node, service, &numeric, res);
}
