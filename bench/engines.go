// The Go side of bench/engines.mjs: the virtual machine of golang.org/x/net/bpf.
//
// usage: engines-go PACKETS    the commands and the format of PACKETS: bench/rival-process.mjs
// ENGINE is x/net/bpf.  A program that the machine refuses, or that fails while it runs (NEG is not implemented), is
// answered with "none" and the error.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
)

const madvHugepage = 14

// huge is memory on huge pages, as in the C side.
func huge(size int) []byte {
	const page = 2 << 20
	p, err := syscall.Mmap(-1, 0, (size+page-1)&^(page-1), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON)
	check(err)
	_ = syscall.Madvise(p, madvHugepage)
	return p[:size]
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func words(bytes []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(&bytes[0])), len(bytes)/4)
}

// packets are those of a file: table holds offset and length of packet i at 2i and 2i + 1.
func packets(path string) (table []uint32, bytes []byte) {
	file, err := os.Open(path)
	check(err)
	var head [2]uint32
	check(binary.Read(file, binary.LittleEndian, &head))
	rest := huge(8*int(head[0]) + int(head[1]))
	_, err = io.ReadFull(file, rest)
	check(err)
	return words(rest[:8*head[0]]), rest[8*head[0]:]
}

func load(path string) (*bpf.VM, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw := make([]bpf.RawInstruction, len(file)/8)
	for i := range raw {
		at := file[8*i:]
		raw[i] = bpf.RawInstruction{Op: binary.LittleEndian.Uint16(at), Jt: at[2], Jf: at[3], K: binary.LittleEndian.Uint32(at[4:])}
	}
	program, _ := bpf.Disassemble(raw)
	return bpf.NewVM(program)
}

func batch(vm *bpf.VM, table []uint32, bytes []byte, out []uint32) (matched uint32, err error) {
	for i := range out {
		at, length := table[2*i], table[2*i+1]
		verdict, err := vm.Run(bytes[at : at+length])
		if err != nil {
			return 0, err
		}
		out[i] = uint32(verdict)
		if verdict != 0 {
			matched++
		}
	}
	return matched, nil
}

func main() {
	table, bytes := packets(os.Args[1])
	out := words(huge(2 * len(table)))
	machines := map[string]*bpf.VM{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var engine, name, path string
		var count, passes int
		if n, _ := fmt.Sscanf(lines.Text(), "load %s %s", &name, &path); n == 2 {
			vm, err := load(path)
			if err != nil {
				fmt.Println("none", err)
				continue
			}
			machines[name] = vm
			fmt.Println("ok")
		} else if n, _ := fmt.Sscanf(lines.Text(), "run %s %s %d %d", &engine, &name, &count, &passes); n == 4 {
			var matched uint32
			var err error
			start := time.Now()
			for i := 0; i < passes && err == nil; i++ {
				matched, err = batch(machines[name], table, bytes, out[:count])
			}
			ns := float64(time.Since(start).Nanoseconds()) / (float64(passes) * float64(count))
			if err != nil {
				fmt.Println("none", err)
				continue
			}
			hash := uint32(0x811c9dc5)
			for _, verdict := range out[:count] {
				hash = (hash ^ verdict) * 0x01000193
			}
			fmt.Printf("%.4f %d %d\n", ns, hash, matched)
		} else {
			fmt.Println("what?")
		}
	}
}
