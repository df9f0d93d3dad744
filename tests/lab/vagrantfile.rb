# Prints as JSON what Vagrant makes of a Vagrantfile, without a provider: ruby vagrantfile.rb FOLDER
require "json"
require "vagrant"

environment = Vagrant::Environment.new(cwd: ARGV[0], ui_class: Vagrant::UI::Silent)
machines = environment.machine_names.map do |name|
  config = environment.vagrantfile.machine_config(name, nil, nil, nil)[:config]
  addresses = config.vm.networks.map { |_type, options| options[:ip] }.compact
  triggers = config.trigger.after_triggers.map { |trigger| { after: trigger.command, run: trigger.run&.inline } }
  [name, { hostname: config.vm.hostname, box: config.vm.box, addresses: addresses, triggers: triggers }]
end
puts JSON.generate(machines.to_h)
