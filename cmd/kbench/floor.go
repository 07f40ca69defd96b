package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/internal/floor"
)

func newFloorCommand() *cobra.Command {
	var listen, dir string
	var durable bool
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "Serve as the least a broker can be, to set brokers against",
		Long: `Serve as the least a broker can be, to set brokers against: read the request, check the CRC, write the file, answer;
and of the file, sendfile. With --durable it answers when the batches that came meanwhile have been written to one more file
and synced, all together; else nothing is synced. Everything is removed at the end. It serves the raw driver's requests until
it is interrupted.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := floor.Listen(listen, dir, durable)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), "listening", s.Address()); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return s.Close()
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9092", "address to serve, host:port")
	cmd.Flags().StringVar(&dir, "dir", ".", "directory for the files")
	cmd.Flags().BoolVar(&durable, "durable", false, "answer when it is on stable storage")
	return cmd
}
