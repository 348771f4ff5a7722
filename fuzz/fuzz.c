/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>

void *fuzz_copy(const void *data, size_t size)
{
	void *copy = malloc(size);

	assert(copy || size == 0);
	if (size)
		memcpy(copy, data, size);
	return copy;
}
