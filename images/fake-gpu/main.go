// Command fake-gpu is a device plugin for nodes without GPUs: it offers the kubelet as many devices as the node's label
// nvidia.com/gpu.count says, and gives a container their ids in NVIDIA_VISIBLE_DEVICES, as NVIDIA's plugin does. So what a
// test pod may see is decided by a real kubelet, not by the test.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource       = "nvidia.com/gpu"
	countLabel     = "nvidia.com/gpu.count"
	socket         = "shardwright-fake-gpu.sock"
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"
)

type plugin struct {
	api.UnimplementedDevicePluginServer
	devices []*api.Device
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
		})
	}
	return response, nil
}

// serve offers the devices until the kubelet restarts, which removes every plugin's socket.
func (p *plugin) serve() error {
	path := filepath.Join(api.DevicePluginPath, socket)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	if err := register(); err != nil {
		return err
	}
	for {
		time.Sleep(time.Second)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("the kubelet restarted: %w", err)
		}
	}
}

func register() error {
	connection, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = api.NewRegistrationClient(connection).Register(ctx,
		&api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource})
	return err
}

// deviceCount reads the node's label with the pod's own service account.
func deviceCount() (int, error) {
	token, err := os.ReadFile(serviceAccount + "token")
	if err != nil {
		return 0, err
	}
	authority, err := os.ReadFile(serviceAccount + "ca.crt")
	if err != nil {
		return 0, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	url := fmt.Sprintf("https://%s/api/v1/nodes/%s", net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")), os.Getenv("NODE_NAME"))
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var node struct{ Metadata struct{ Labels map[string]string } }
	if err := json.NewDecoder(response.Body).Decode(&node); err != nil {
		return 0, err
	}
	if label := node.Metadata.Labels[countLabel]; label != "" {
		return strconv.Atoi(label)
	}
	return 0, fmt.Errorf("node %s has no label %s (HTTP %d)", os.Getenv("NODE_NAME"), countLabel, response.StatusCode)
}

func main() {
	for {
		count, err := deviceCount()
		if err == nil {
			p := &plugin{}
			for i := range count {
				p.devices = append(p.devices, &api.Device{ID: fmt.Sprintf("GPU-%d", i), Health: api.Healthy})
			}
			log.Printf("offering %d devices as %s", count, resource)
			err = p.serve()
		}
		log.Printf("again in 2 s: %v", err)
		time.Sleep(2 * time.Second)
	}
}
