/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The completions of shells: short scripts that ask the program itself (cmd_complete.c) what a word
 * could become. In them @PROGRAM@ is its name and @NAME@ the same as part of a function's name.
 */
#ifndef HF_CLI_COMPLETIONS_H
#define HF_CLI_COMPLETIONS_H

extern const char hf_completion_bash[], hf_completion_fish[], hf_completion_zsh[],
	hf_completion_powershell[];

#endif
