; every instruction, every alias and every extension name of bpf_asm
/* block
   comment */
# a line that starts with a number sign
begin: ld [0]
ld [x + 2]
ld [%x + 2]
ld #0x10
ld #len
ld len
ld M[3]
ldi #5
ldi 5
ldh [12]
ldh [x + 14]
ldb [23]
LDB [%X + 1]
ldx #010
ldx #len
ldx M[4]
ldx 4*([14]&0xf)
ldxb 4*([14]&0xF)
ldxi #0b101
ldxi 7
st M[3]
stx M[15]
add #1
add x
sub #-1
sub %x
mul #2
mul x
div #3
div x
mod #4
mod x
neg
and #0xff
and x
or #0x1
or x
xor #2147483648
xor x
lsh #3
lsh x
rsh #31
rsh %x
tax
txa
ld proto
ld #type
ldh poff
ldb ifidx
ld nla
ld #nlan
ld mark
ld queue
ld hatype
ld rxhash
ld cpu
ld vlan_tci
ld vlan_pr
ld vlan_avail
ld vlan_tpid
ld rand
jmp next
next: ja after
after: jeq #0x800, yes, no
jeq x, yes, no
jeq %x, yes, no
jeq #1, yes
jeq x, yes
jneq #1, yes
jneq x, yes
jne #2, no
jne %x, no
jlt #3, no
jlt x, no
jle #4, no
jle x, no
jgt #5, yes, no
jgt x, yes, no
jgt #5, no
jge #6, yes, no
jge x, yes, no
jge x, no
jset #7, yes, no
jset x, yes, no
jset #7, no
yes: ret #-1
no: ret #0
ret a
ret %a ret #4294967295
