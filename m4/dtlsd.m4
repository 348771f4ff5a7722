dnl SPDX-License-Identifier: BSD-2-Clause
dnl Macros of configure.ac that are used more than once.

dnl DTLSD_TRY_FLAG(VARIABLE, FLAG, [FLAGS TO ADD], [compile|link])
dnl Adds to VARIABLE what the compiler takes without a murmur, and leaves out what it does not know.
AC_DEFUN([DTLSD_TRY_FLAG], [
	AS_VAR_PUSHDEF([cached], [dtlsd_cv_flag_$2])
	AC_CACHE_CHECK([whether $CC takes $2], [cached], [
		dtlsd_saved_cflags=$CFLAGS
		CFLAGS="$CFLAGS -Werror $2"
		m4_if([$4], [link],
			[AC_LINK_IFELSE([AC_LANG_PROGRAM()],
				[AS_VAR_SET([cached], [yes])], [AS_VAR_SET([cached], [no])])],
			[AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
				[AS_VAR_SET([cached], [yes])], [AS_VAR_SET([cached], [no])])])
		CFLAGS=$dtlsd_saved_cflags
	])
	AS_VAR_IF([cached], [yes], [AS_VAR_APPEND([$1], [" m4_default([$3], [$2])"])])
	AS_VAR_POPDEF([cached])
])

dnl DTLSD_CHOOSE(NAME, WHAT FOR, HAVE)
dnl The --with-NAME=auto|yes|no logic, run after the probe has set the shell variable HAVE to yes or no:
dnl an explicit yes that cannot be had is an error, an explicit no wins over what was found.
AC_DEFUN([DTLSD_CHOOSE], [
	AS_CASE([$with_$1],
		[no], [$3=no],
		[yes], [AS_VAR_IF([$3], [yes], [],
			[AC_MSG_ERROR([--with-$1 was asked for, but $1 ($2) was not found])])],
		[auto], [],
		[AC_MSG_ERROR([--with-$1 takes yes, no or auto, not "$with_$1"])])
])
