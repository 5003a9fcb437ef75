# Loaded before gRPC's interop server for Ruby, which takes a port and does not
# tell it: with --port 0, says which one the system chose.
require 'grpc'

module TellPort
  def add_http2_port(*args)
    super.tap do |port|
      puts "listening on 127.0.0.1:#{port}"
      $stdout.flush
    end
  end
end

GRPC::RpcServer.prepend(TellPort)
