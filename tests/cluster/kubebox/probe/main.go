// probe is the one program of the image that tests run in pods.
//
//	probe write PATH TEXT    writes a file
//	probe resolve NAME       looks a host name up, with retries for a few seconds
//	probe wait               does nothing until SIGTERM
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch command := strings.Join(arguments[:min(1, len(arguments))], ""); {
	case command == "write" && len(arguments) == 3:
		return os.WriteFile(arguments[1], []byte(arguments[2]), 0o664)
	case command == "resolve" && len(arguments) == 2:
		return resolve(arguments[1])
	case command == "wait" && len(arguments) == 1:
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		return nil
	}
	return fmt.Errorf("unknown arguments: %q", arguments)
}

func resolve(name string) error {
	var addresses []string
	var err error
	for range 20 {
		if addresses, err = net.LookupHost(name); err == nil {
			fmt.Println(strings.Join(addresses, " "))
			return nil
		}
		time.Sleep(250 * time.Millisecond)
	}
	return err
}
