# caw_generate(TARGET t PROTOS a.proto ... [IMPORT_DIRS dir ...] [PREFIX p]
#              [OPTIONS opt ...])
#
# Runs protoc with Caw's plugin on each .proto file, and adds what it writes to
# the target, with the folder of the headers as a public include directory:
# a/b.proto becomes a/b.caw.h and a/b.caw.c.
#
#   PROTOS       paths as other .proto files import them, relative to one of
#                IMPORT_DIRS; or absolute. Files that they import must be given
#                too, to this target or to one that it links with, also those of
#                protobuf itself (google/protobuf/timestamp.proto).
#   IMPORT_DIRS  where imports are looked for; the current source directory
#                unless given. The folder of protobuf's own files is added.
#   PREFIX       begins the C names of files without a package.
#   OPTIONS      further options of the plugin: comments=off, expansion=N.
#
# The target has to link with Caw by itself, and be made in the same directory. CAW_PROTOC and CAW_PROTOC_GEN_CAW
# name the programs; inside Caw's own build the plugin is the one just built.

# The plugin as a command, and what a rule that runs it depends on.
function(_caw_plugin command depends)
  set(${depends} "" PARENT_SCOPE)
  foreach(target protoc-gen-caw Caw::protoc-gen-caw)
    if(TARGET ${target})
      set(${command} $<TARGET_FILE:${target}> PARENT_SCOPE)
      set(${depends} ${target} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  find_program(CAW_PROTOC_GEN_CAW protoc-gen-caw)
  if(NOT CAW_PROTOC_GEN_CAW)
    message(FATAL_ERROR "caw_generate: protoc-gen-caw was not found; set CAW_PROTOC_GEN_CAW")
  endif()
  set(${command} ${CAW_PROTOC_GEN_CAW} PARENT_SCOPE)
endfunction()

# The name of a file relative to the import directory that holds it.
function(_caw_find_proto name file proto)
  foreach(dir ${ARGN})
    if(IS_ABSOLUTE ${proto})
      cmake_path(IS_PREFIX dir ${proto} NORMALIZE inside)
      if(inside AND EXISTS ${proto})
        cmake_path(RELATIVE_PATH proto BASE_DIRECTORY ${dir} OUTPUT_VARIABLE relative)
        set(${name} ${relative} PARENT_SCOPE)
        set(${file} ${proto} PARENT_SCOPE)
        return()
      endif()
    elseif(EXISTS ${dir}/${proto})
      set(${name} ${proto} PARENT_SCOPE)
      set(${file} ${dir}/${proto} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "caw_generate: ${proto} is in none of: ${ARGN}")
endfunction()

function(caw_generate)
  cmake_parse_arguments(G "" "TARGET;PREFIX" "PROTOS;IMPORT_DIRS;OPTIONS" ${ARGN})
  if(NOT G_TARGET OR NOT G_PROTOS OR G_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "caw_generate(TARGET t PROTOS a.proto ... [IMPORT_DIRS dir ...] "
                        "[PREFIX p] [OPTIONS opt ...])")
  endif()
  find_program(CAW_PROTOC protoc REQUIRED)
  find_path(CAW_PROTOBUF_PROTOS google/protobuf/descriptor.proto)
  _caw_plugin(plugin plugin_depends)

  set(dirs "")
  if(NOT G_IMPORT_DIRS)
    set(G_IMPORT_DIRS ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  foreach(dir ${G_IMPORT_DIRS})
    cmake_path(ABSOLUTE_PATH dir BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
    string(REGEX REPLACE "/$" "" dir ${dir})
    list(APPEND dirs ${dir})
  endforeach()
  if(CAW_PROTOBUF_PROTOS)
    list(APPEND dirs ${CAW_PROTOBUF_PROTOS})
  endif()
  list(REMOVE_DUPLICATES dirs)
  list(TRANSFORM dirs PREPEND -I OUTPUT_VARIABLE imports)

  set(options "")
  if(G_PREFIX)
    list(APPEND G_OPTIONS prefix=${G_PREFIX})
  endif()
  list(TRANSFORM G_OPTIONS PREPEND --caw_opt= OUTPUT_VARIABLE options)

  set(out ${CMAKE_CURRENT_BINARY_DIR}/${G_TARGET}.caw)
  file(MAKE_DIRECTORY ${out})
  foreach(proto ${G_PROTOS})
    _caw_find_proto(name file ${proto} ${dirs})
    string(REGEX REPLACE "\\.proto$" "" base ${name})
    get_filename_component(folder ${out}/${base} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
      OUTPUT ${out}/${base}.caw.c ${out}/${base}.caw.h
      COMMAND ${CAW_PROTOC} --plugin=protoc-gen-caw=${plugin} --caw_out=${out} ${options}
              --dependency_out=${out}/${base}.d ${imports} ${name}
      DEPENDS ${file} ${plugin_depends}
      DEPFILE ${out}/${base}.d
      COMMENT "Generating ${base}.caw.h"
      VERBATIM)
    target_sources(${G_TARGET} PRIVATE ${out}/${base}.caw.c ${out}/${base}.caw.h)
  endforeach()
  target_include_directories(${G_TARGET} PUBLIC $<BUILD_INTERFACE:${out}>)
endfunction()
