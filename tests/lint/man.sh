#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The manual is correct mdoc: mandoc -Tlint has nothing to say about any page.
mandoc=${MANDOC:-mandoc}
if ! command -v "$mandoc" >/dev/null; then
	echo "1..0 # SKIP mandoc is not installed"
	exit 0
fi
number=0
for page in "${top_srcdir:-.}"/man/*.[1-9]; do
	number=$((number + 1))
	if complaints=$("$mandoc" -Tlint -Wstyle "$page") && test -z "$complaints"; then
		echo "ok $number - mandoc finds nothing in ${page##*/}"
	else
		echo "not ok $number - mandoc finds nothing in ${page##*/}"
		echo "$complaints" | sed 's/^/# /'
	fi
done
echo "1..$number"
