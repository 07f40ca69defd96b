package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/internal/floor"
)

func newFloorCommand() *cobra.Command {
	var listen, dir string
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "Serve as the least a broker can be, to set brokers against",
		Long: `Serve as the least a broker can be, to set brokers against: read the request, check the CRC, write the file, answer;
and of the file, sendfile. Nothing is synced, and everything is removed at the end. It serves the raw driver's requests
until it is interrupted.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := floor.Listen(listen, dir)
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
	return cmd
}
